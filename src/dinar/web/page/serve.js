// The page of `dinar serve`: photos are dropped, a job is watched, the avatar is shown. The address has the job: /#id.
import { el, icon } from 'dinar/dom.js';
import { mountViewer } from 'dinar/panel.js';

const about = JSON.parse(document.getElementById('about').textContent);
const root = document.getElementById('root');
const MEGABYTE = 1 << 20;
const POLL = 700; // milliseconds between questions about a job
const SAVED = { 'me.glb': 'GLB', 'me.vrm': 'VRM', 'alive.mp4': 'Alive', 'me.mp4': 'Video', 'me.preview.png': 'Sheet', 'me.avatar': 'Avatar' };
const STEPS = ['Finding the person', 'Fitting the body', 'Fitting the clothes', 'Taking the colours',
  'Filling what nobody saw', 'Preparing the viewer'];

// ---- the API -----------------------------------------------------------------------------------------------------
async function ask(method, path, body) {
  const answer = await fetch(`/api/jobs${path}`, { method, body }).catch(() => null);
  if (!answer) throw new Error('The server does not answer. Is `dinar serve` running?');
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const { detail } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(detail ?? `The server answered ${answer.status}.`), { status: answer.status });
}
const fileOf = (job, name) => `/api/jobs/${job.id}/files/${name}`;

// ---- which jobs are this browser's ---------------------------------------------------------------------------------
const mine = () => { try { return JSON.parse(localStorage.getItem('dinar.jobs')) ?? []; } catch { return []; } };
const keep = (ids) => localStorage.setItem('dinar.jobs', JSON.stringify(ids));
const forget = (id) => keep(mine().filter((other) => other !== id));

// ---- home ----------------------------------------------------------------------------------------------------------
async function home() {
  const input = el('input', { type: 'file', accept: 'image/*', multiple: true, hidden: true, onchange: () => take([...input.files]) });
  const said = el('p.said', { role: 'status' });
  const drop = el('div.drop', {}, icon('upload'), el('p', {}, 'Drop a photo here'),
    el('button.chip.main', { type: 'button', onclick: () => input.click() }, 'Choose a photo'), input);
  const gallery = el('div.gallery');
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  root.replaceChildren(el('main.home', {},
    el('h1', {}, 'An avatar from one photo'),
    el('p.lead', {}, 'One whole person, head to feet, arms a little away from the body.'),
    drop, said,
    el('p.hint', {}, local ? 'Everything happens on this computer. No photo leaves it.' : 'Photos stay on the server that shows this page.'),
    gallery, el('footer', {}, el('a', { href: '/docs' }, 'API'))));

  async function take(files) {
    if (!files.length) return;
    const large = files.find((f) => f.size > about.max_photo);
    if (large) { said.textContent = `${large.name} is too large: expected at most ${about.max_photo / MEGABYTE} MB.`; return; }
    if (files.length === 1) { await send([files]); return; }
    const together = files.length <= about.max_photos;
    said.replaceChildren(`${files.length} photos: `,
      ...(together ? [el('button.chip', { onclick: () => send([files]) }, 'of one person')] : []),
      el('button.chip', { onclick: () => send(files.map((f) => [f])) }, 'of different people'),
      ...(together ? [] : [` At most ${about.max_photos} can show the same person.`]));
  }
  async function send(groups) {
    for (const [i, photos] of groups.entries()) {
      said.textContent = groups.length > 1 ? `Sending ${i + 1} of ${groups.length} …` : 'Sending …';
      const form = new FormData();
      for (const photo of photos) form.append('photos', photo);
      try {
        const job = await ask('POST', '', form);
        keep([job.id, ...mine()]);
        if (groups.length === 1) { location.hash = job.id; return; }
      } catch (error) { said.textContent = error.message; await list(gallery); return; }
    }
    said.textContent = '';
    await list(gallery);
  }
  drop.ondragover = (e) => { e.preventDefault(); drop.classList.add('over'); };
  drop.ondragleave = () => drop.classList.remove('over');
  document.ondragover = document.ondrop = (e) => e.preventDefault(); // a photo beside the frame does not replace the page
  drop.ondrop = (e) => { e.preventDefault(); drop.classList.remove('over'); take([...e.dataTransfer.files]); };
  document.onpaste = (e) => { if (drop.isConnected) take([...e.clipboardData.files]); };
  await list(gallery);
}

async function list(gallery) {
  const jobs = await Promise.all(mine().map((id) => ask('GET', `/${id}`).catch((e) => { if (e.status === 404) forget(id); })));
  const state = (job) => ({ done: '', failed: 'failed', choose: 'whom?', running: `${Math.round(100 * job.share)} %` }[job.state] ?? 'waiting');
  gallery.replaceChildren(...jobs.filter(Boolean).map((job) => el('a.avatar', { href: `#${job.id}`, title: job.name },
    job.files.includes('cutout.png') ? el('img', { src: fileOf(job, 'cutout.png'), alt: '', loading: 'lazy' }) : el('span.blank', {}, icon('body')),
    el('span', {}, state(job) || job.name))));
}

// ---- a job ---------------------------------------------------------------------------------------------------------
let shown = null; // the viewer

async function watch(id) {
  const here = () => location.hash === `#${id}`;
  let drawn = '';
  while (here()) {
    let job;
    try { job = await ask('GET', `/${id}`); } catch (error) {
      if (error.status === 404) forget(id);
      if (here()) notice('This avatar is not here', error.message);
      return;
    }
    if (!here()) return;
    if (job.files.includes('me.glb')) {
      if (!shown) await show(job);
      shown?.setFiles(saved(job));
    } else if (job.state === 'failed') notice(job.name, job.error, job);
    else if (job.state === 'choose') { if (drawn !== 'choose') choose(job); }
    else progress(job);
    drawn = job.state;
    if (['done', 'failed'].includes(job.state)) return;
    await new Promise((later) => setTimeout(later, POLL));
  }
}

function progress(job) {
  const picture = ['body.jpg', 'cutout.png'].find((n) => job.files.includes(n));
  let view = root.querySelector('.working');
  if (view?.dataset.id !== job.id) {
    view = el('main.working', {}, el('div.picture'), el('div.steps', {}, el('h1', {}, job.name),
      el('div.bar', { role: 'progressbar', ariaValueMin: 0, ariaValueMax: 100, ariaLabel: 'Progress' }, el('i')), el('ol'), remove(job, 'Stop and delete')));
    view.dataset.id = job.id;
    root.replaceChildren(view);
  }
  const at = STEPS.indexOf(job.step), share = Math.max(0.02, job.share);
  view.querySelector('.bar').setAttribute('aria-valuenow', Math.round(100 * share));
  view.querySelector('.bar i').style.width = `${100 * share}%`;
  view.querySelector('ol').replaceChildren(...(at < 0
    ? [el('li.now', {}, job.ahead ? `Waiting for ${job.ahead} other${job.ahead > 1 ? 's' : ''}` : `${job.step} …`)]
    : STEPS.map((s, i) => el(i < at ? 'li.past' : i === at ? 'li.now' : 'li', {}, s))));
  const frame = view.querySelector('.picture');
  if (picture && frame.dataset.name !== picture) {
    frame.dataset.name = picture;
    frame.replaceChildren(el('img', { src: fileOf(job, picture), alt: picture === 'body.jpg' ? 'The body over the photo' : 'The person, cut out' }));
  } else if (!picture && !frame.firstChild) frame.append(el('div.pulse', {}, icon('body')));
}

function choose(job) {
  const boxes = job.people.map(({ person, box: [x0, y0, x1, y1] }) => {
    const button = el('button.person', { title: `Person ${person}`, ariaLabel: `Person ${person}, from the left`,
      onclick: async () => { await ask('POST', `/${job.id}/person?person=${person}`); } }, el('span', {}, String(person)));
    Object.assign(button.style, { left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%` });
    return button;
  });
  root.replaceChildren(el('main.home.choose', {}, el('h1', {}, 'Who is it?'), el('p.lead', {}, 'There are several people in the photo. Choose one.'),
    el('div.people', {}, el('img', { src: fileOf(job, 'photo.jpg'), alt: 'The photo' }), ...boxes), remove(job, 'Stop and delete')));
}

const saved = (job) => Object.entries(SAVED).filter(([n]) => job.files.includes(n)).map(([n, label]) => (
  { label, note: about.files[n], href: fileOf(job, n), name: job.name + n.replace('me', '').replace('alive', '-alive') }));

async function show(job) {
  const [glb, photo] = await Promise.all([
    fetch(fileOf(job, 'me.glb')).then((r) => r.arrayBuffer()), fetch(fileOf(job, 'photo.json')).then((r) => r.json())]);
  const back = el('a.icon', { href: '#', title: 'Back', ariaLabel: 'Back' }, icon('back'));
  try {
    shown = await mountViewer(root, { glb, name: job.name, presets: about.presets, files: saved(job),
      neural: job.files.includes('me.neural') ? fileOf(job, 'me.neural') : null,
      photo: { ...photo, src: fileOf(job, 'photo.jpg') }, leading: [back], trailing: [remove(job, '')],
      film: (file, say) => film(job, file, say) });
    window.dinar = shown; // for the console
  } catch (error) {
    notice(job.name, `This browser cannot show the avatar: ${error.message}. WebGL 2 is needed.`, job);
  }
}

/** The motion of a video: fitted by the server, then one more of the viewer's. */
async function film(job, file, say) {
  const form = new FormData();
  form.append('clip', file);
  say('Sending …');
  let now = await ask('POST', `/${job.id}/motion`, form);
  while (now.state !== 'done' && location.hash === `#${job.id}`) {
    say(`${now.step} …`);
    await new Promise((later) => setTimeout(later, POLL));
    now = await ask('GET', `/${job.id}`);
  }
  if (now.error) throw new Error(now.error);
  if (location.hash !== `#${job.id}`) return;
  shown?.close();
  await show(now);
  shown.viewer.play(shown.viewer.motions.filter((m) => m.startsWith('video')).at(-1));
}

function remove(job, text) {
  return el(text ? 'button.chip.quiet' : 'button.icon.quiet', { type: 'button', title: 'Delete', ariaLabel: 'Delete', onclick: async () => {
    if (!confirm(`Delete ${job.name}, with its photos and all files?`)) return;
    await ask('DELETE', `/${job.id}`).catch(() => {});
    forget(job.id);
    location.hash = '';
  } }, text || icon('trash'));
}

function notice(title, text, job = null) {
  root.replaceChildren(el('main.home', {}, el('h1', {}, title), el('p.lead.warn', {}, text),
    el('p', {}, el('a.chip.main', { href: '#' }, 'Try another photo'), ...(job ? [' ', remove(job, 'Delete')] : []))));
}

// ---- the address -----------------------------------------------------------------------------------------------------
function route() {
  shown?.close();
  shown = null;
  const id = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(id)) {
    if (!mine().includes(id)) keep([id, ...mine()]);
    root.replaceChildren();
    watch(id);
  } else home();
}
addEventListener('hashchange', route);
route();
