// The viewer's page: the stage, and the controls beside it (on a phone: below it, one group at a time).
import { el, icon, label } from 'dinar/dom.js';
import { createViewer } from 'dinar/viewer.js';

const BACKGROUNDS = { // names of style.css, and plain colours
  Studio: '', White: '#ffffff', Grey: '#8d9196', Night: '#14171c', Sand: '#dccfb8', Sky: '#b9d3e6', Screen: '#00b140',
};
const LIGHTS = { photo: 'As in the photo', soft: 'Soft', sun: 'Sun' };
const GROUPS = [['Brows', /^brow/], ['Eyes', /^eye/], ['Cheeks and nose', /^(cheek|nose)/], ['Mouth', /^(mouth|jaw|tongue)/]];
const SPEEDS = [0.25, 2]; // least and most

/**
 * Fill `root` with the viewer of an avatar.
 * glb: ArrayBuffer; name: text; photo: the photo's camera and `src`, or null; presets: { name: { morph: weight } };
 * neural: address of the file with its networks, or null;
 * files: [{ label, note, href, name }] to download; leading, trailing: elements before and after the name;
 * film: (file, say) => adds the motion of a video, or null.
 */
export async function mountViewer(root, { glb, name, photo = null, presets = {}, neural = null, files = [], leading = [], trailing = [], film = null }) {
  const canvas = el('canvas', { ariaLabel: `Avatar of ${name}. Drag to turn, pinch or scroll to come closer.`, role: 'img' });
  const compared = comparison(photo);
  const layer = el('canvas.layer', { ariaHidden: true });
  const stage = el('div.stage', {}, canvas, layer, ...compared.nodes);
  const viewer = await createViewer(canvas, glb, photo, layer);

  const saves = saving(viewer, name, files);
  const sections = [
    motions(viewer, film), expressions(viewer, presets), photo && compared.controls, scene(viewer, stage, neural), saves,
  ].filter(Boolean);
  const panel = el('aside.panel', {}, el('header.title', {}, ...leading, el('h1', {}, name), ...trailing), ...sections.map((s) => s.node));
  const tabs = el('nav.tabs', { ariaLabel: 'Controls' }, ...sections.map((s) => tab(s, () => show(s))));
  function show(chosen) {
    const shut = chosen.node.classList.contains('open');
    for (const s of sections) s.node.classList.toggle('open', s === chosen && !shut);
    for (const [i, b] of [...tabs.children].entries()) b.setAttribute('aria-pressed', sections[i] === chosen && !shut);
    if (compared.on && chosen !== compared.controls) compared.set(false);
  }
  stage.append(toolbar(viewer, root));
  root.replaceChildren(el('div.viewer', {}, stage, panel, tabs));
  show(sections[0]);

  const fit = () => {
    const { clientWidth: w, clientHeight: h } = stage;
    if (!w || !h) return;
    viewer.resize(w, h);
    compared.place(w, h);
  };
  compared.connect(viewer, stage);
  const watch = new ResizeObserver(fit);
  watch.observe(stage);
  fit();
  viewer.frame();
  viewer.play(['idle', 'photo'].find((m) => viewer.motions.includes(m)) ?? viewer.motions[0], 0);
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (still) viewer.setPaused(true);
  addEventListener('keydown', keys);
  function keys(event) {
    if (event.key === ' ' && event.target === document.body) { event.preventDefault(); root.querySelector('.pause').click(); }
  }
  return { viewer, setFiles: saves.setFiles, close() { watch.disconnect(); removeEventListener('keydown', keys); viewer.dispose(); } };
}

const section = (kind, title, ...children) => ({ kind, title, node: el(`section.${kind}`, {}, el('h2', {}, title), ...children) });
const tab = (s, onclick) => el('button', { onclick, ariaPressed: false }, icon(s.kind), el('span', {}, s.title));

/** Buttons of which one is pressed. */
function choice(entries, chosen, onchoose) {
  const buttons = entries.map(([value, text]) => el('button.chip', { type: 'button', ariaPressed: value === chosen, onclick: () => set(value) }, text));
  function set(value) {
    entries.forEach(([v], i) => buttons[i].setAttribute('aria-pressed', v === value));
    onchoose(value);
  }
  return { node: el('div.chips', {}, ...buttons), set };
}

function slider(text, [min, max, step, value], oninput) {
  const input = el('input', { type: 'range', min, max, step, value, oninput: () => oninput(Number(input.value)) });
  const node = el('label.slider', {}, el('span', {}, text), input);
  return { node, set(v) { input.value = v; } };
}

function motions(viewer, film) {
  const names = viewer.motions.map((m) => [m, m === 'photo' ? 'Photo pose' : label(m)]);
  const chips = choice(names, 'idle', (m) => viewer.play(m));
  const speed = slider('Speed', [...SPEEDS, 0.05, 1], viewer.setSpeed);
  return section('motion', 'Motion', chips.node, speed.node, ...filming(film));
}

/** A button that takes a video, whose motion becomes one more. */
function filming(film) {
  if (!film) return [];
  const said = el('p.hint', { role: 'status' }, 'A video of one whole person, up to 30 MB: the avatar moves like them.');
  const input = el('input', { type: 'file', accept: 'video/*', hidden: true, onchange: async () => {
    if (!input.files.length) return;
    button.disabled = true;
    try { await film(input.files[0], (text) => { said.textContent = text; }); } catch (error) { said.textContent = error.message; }
    [button.disabled, input.value] = [false, ''];
  } });
  const button = el('button.chip.wide', { type: 'button', onclick: () => input.click() }, 'Motion from a video');
  return [button, input, said];
}

function expressions(viewer, presets) {
  const names = viewer.expressions;
  if (!names.length) return null;
  const sliders = Object.fromEntries(names.map((n) => [n, slider(label(n), [0, 1, 0.01, 0], (w) => viewer.setExpression(n, w))]));
  const known = Object.entries(presets).filter(([, weights]) => Object.keys(weights).every((n) => names.includes(n)));
  const chips = choice([['', 'Neutral'], ...known.map(([n]) => [n, label(n)])], '', (chosen) => {
    for (const n of names) {
      const weight = presets[chosen]?.[n] ?? 0;
      viewer.setExpression(n, weight);
      sliders[n].set(weight);
    }
  });
  const groups = GROUPS.flatMap(([title, pattern]) => {
    const members = names.filter((n) => pattern.test(n));
    return members.length ? [el('h3', {}, title), ...members.map((n) => sliders[n].node)] : [];
  });
  return section('face', 'Expression', chips.node, el('details', {}, el('summary', {}, `All ${names.length} sliders`), ...groups));
}

/** The photo over the stage, cut at a line that a finger moves. */
function comparison(photo) {
  if (!photo) return { nodes: [], on: false, set() {}, place() {}, connect() {} };
  const picture = el('img', { src: photo.src, alt: 'The photo', draggable: false });
  const line = el('div.line', { role: 'slider', tabIndex: 0, ariaLabel: 'Photo and avatar', ariaValueMin: 0, ariaValueMax: 100 },
    el('span', {}, 'Photo'), el('span', {}, 'Avatar'));
  const layer = el('div.compare', { hidden: true }, picture, line);
  const button = el('button.chip.wide', { type: 'button', ariaPressed: false, onclick: () => set(!state.on) }, 'Compare with the photo');
  const hint = el('p.hint', { hidden: true }, 'Drag the line over the picture.');
  const state = { nodes: [layer], on: false, set, place, connect, controls: section('photo', 'Photo', button, hint) };
  let viewer, stage, at = 0.5, size = [1, 1];

  function cut(share) {
    at = Math.min(1, Math.max(0, share));
    const [w] = size, left = parseFloat(picture.style.left), wide = parseFloat(picture.style.width);
    line.style.left = `${at * w}px`;
    picture.style.clipPath = `inset(0 ${Math.min(100, Math.max(0, 100 * (1 - (at * w - left) / wide)))}% 0 0)`;
    line.setAttribute('aria-valuenow', Math.round(100 * at));
  }
  function place(w, h) {
    size = [w, h];
    const k = Math.min(w / photo.width, h / photo.height);
    const rect = { x: (w - k * photo.width) / 2, y: (h - k * photo.height) / 2, width: k * photo.width };
    Object.assign(picture.style, { left: `${rect.x}px`, top: `${rect.y}px`, width: `${rect.width}px`, height: `${k * photo.height}px` });
    if (state.on) viewer.compare(rect);
    cut(at);
  }
  function set(on) {
    state.on = on;
    layer.hidden = hint.hidden = !on;
    button.setAttribute('aria-pressed', on);
    if (on) place(...size);
    else viewer.compare(null);
  }
  function connect(v, s) {
    [viewer, stage] = [v, s];
    const move = (e) => cut((e.clientX - stage.getBoundingClientRect().left) / size[0]);
    layer.addEventListener('pointerdown', (e) => { layer.setPointerCapture(e.pointerId); move(e); });
    layer.addEventListener('pointermove', (e) => { if (layer.hasPointerCapture(e.pointerId)) move(e); });
    line.addEventListener('keydown', (e) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[e.key];
      if (step) { e.preventDefault(); cut(at + step); }
    });
  }
  return state;
}

/** Mesh or networks; what the networks' start says is shown. */
function drawing(viewer, neural) {
  if (!neural) return [];
  const said = el('p.hint', { role: 'status' }, 'As a mesh, with the light below.');
  const chips = choice([['mesh', 'Mesh'], ['neural', 'Neural']], 'mesh', async (how) => {
    said.textContent = how === 'neural' ? 'Loading the networks …' : 'As a mesh, with the light below.';
    try {
      await viewer.setNeural(how === 'neural' ? neural : null);
      if (how === 'neural') said.textContent = `Drawn by the networks, with the light of the photo (${viewer.provider === 'webgpu' ? 'WebGPU' : 'WebAssembly'}).`;
    } catch (error) {
      chips.set('mesh');
      said.textContent = `This browser cannot run the networks: ${error.message}`;
    }
  });
  return [el('h3', {}, 'Drawn'), chips.node, said];
}

function scene(viewer, stage, neural) {
  const light = choice(Object.entries(LIGHTS), 'photo', viewer.setLight);
  const swatches = Object.entries(BACKGROUNDS).map(([name, colour]) => el('button.swatch', {
    type: 'button', title: name, ariaLabel: `Background: ${name}`, ariaPressed: !colour, style: colour && `background:${colour}`,
    onclick(e) {
      for (const s of swatches) s.setAttribute('aria-pressed', s === e.currentTarget);
      stage.style.background = colour;
      viewer.setShadow(name === 'Screen' ? 0 : name === 'Night' ? 0.5 : 0.22);
    },
  }));
  const turning = choice([[false, 'Stand still'], [true, 'Turn slowly']], false, viewer.setTurning);
  return section('scene', 'Scene', ...drawing(viewer, neural), el('h3', {}, 'Light'), light.node, el('h3', {}, 'Background'),
    el('div.swatches', {}, ...swatches), el('h3', {}, 'Camera'), turning.node);
}

function saving(viewer, name, files) {
  const picture = el('button.file', { type: 'button', onclick: async () => download(await viewer.picture(), `${name}.png`) },
    el('b', {}, 'PNG'), el('span', {}, 'this picture, with transparency'));
  const list = el('div.files');
  const setFiles = (now) => list.replaceChildren(
    ...now.map((f) => el('a.file', { href: f.href, download: f.name }, el('b', {}, f.label), el('span', {}, f.note))), picture);
  setFiles(files);
  return { ...section('save', 'Save', list), setFiles };
}

export function download(blob, name) {
  const href = URL.createObjectURL(blob);
  el('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

function toolbar(viewer, root) {
  const tool = (name, title, onclick) => el(`button.${name}`, { type: 'button', title, ariaLabel: title, onclick }, icon(name));
  let paused = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const pause = tool('pause', 'Pause or go on', () => {
    viewer.setPaused(paused = !paused);
    pause.replaceChildren(icon(paused ? 'play' : 'pause'));
  });
  if (paused) pause.replaceChildren(icon('play'));
  const full = tool('full', 'Full screen', () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()));
  if (!document.fullscreenEnabled) full.hidden = true;
  return el('div.tools', {}, pause, tool('body', 'Whole body', () => viewer.frame()), tool('face', 'Face', () => viewer.frame('face')), full);
}
