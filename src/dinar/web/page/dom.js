// Elements in one line: el('button.chip', { onclick }, 'Walk').

export function el(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const node = document.createElement(tag);
  node.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('aria') || key === 'role') node.setAttribute(key.replace('aria', 'aria-').toLowerCase(), value);
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c != null));
  return node;
}

const PATHS = { // 24 x 24, drawn with a round pen
  motion: 'M13 4.5a1.5 1.5 0 1 0 .1 0M11 9l-3 2.2V14M11 9l3 1.5 1.6 2.3 2.4.5M11 9l-.6 5 3 2.6L14.5 21M10.4 14 9 17.4 6 20',
  face: 'M12 3a9 9 0 1 0 .1 0M8.5 14.5c1 1.4 2.2 2 3.5 2s2.5-.6 3.5-2M9 9.5v.6M15 9.5v.6',
  photo: 'M4 6.5h4l1.5-2h5l1.5 2h4v12H4zM12 9a3.5 3.5 0 1 0 .1 0',
  scene: 'M12 8a4 4 0 1 0 .1 0M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4',
  save: 'M12 3.5v11M7.5 10.5 12 15l4.5-4.5M4.5 19.5h15',
  full: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  body: 'M12 3.5a2 2 0 1 0 .1 0M6 9.5l6-1 6 1M12 8.5V14M12 14l-2.5 7M12 14l2.5 7',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.5v13l11-6.5z',
  back: 'M14.5 5.5 8 12l6.5 6.5',
  trash: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13',
  upload: 'M12 16V5M7.5 9.5 12 5l4.5 4.5M4.5 15.5v4h15v-4',
};

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** "look_around" as "Look around", "mouthSmileLeft" as "Mouth smile left". */
export function label(name) {
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll('_', ' ').toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
}
