// The page of one avatar, with everything inside: `dinar view`.
import { mountViewer } from 'dinar/panel.js';

const text = (id) => document.getElementById(id).textContent;
const about = JSON.parse(text('about'));
const glb = Uint8Array.from(atob(text('glb')), (c) => c.charCodeAt(0));
const href = URL.createObjectURL(new Blob([glb], { type: 'model/gltf-binary' }));
const files = [{ label: 'GLB', note: 'for Blender, engines and the web', href, name: `${about.name}.glb` }];
try {
  window.dinar = await mountViewer(document.getElementById('root'), { ...about, glb: glb.buffer, files });
} catch (error) {
  document.getElementById('root').textContent = `This browser cannot show the avatar: ${error.message}. WebGL 2 is needed.`;
}
