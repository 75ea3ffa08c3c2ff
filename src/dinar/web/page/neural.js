// A worker that draws an avatar with its networks: ONNX Runtime (WebGPU where there is one, WASM else) and picture.js.
import * as ort from './ort.min.js';
import { neuralPicture } from './picture.js';

const THREADS = 4; // at most; more than one only where the page is isolated from other sites
const ARRAYS = { F32: Float32Array, U8: Uint8Array, I32: Int32Array };
let model = null, session = null, rest = null;

/** Arrays of a safetensors file by name, and its description. */
function readNeural(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const arrays = Object.fromEntries(Object.entries(entries).map(([name, { dtype, data_offsets: [from, to] }]) => (
    [name, new ARRAYS[dtype](buffer.slice(8 + length + from, 8 + length + to))])));
  return { about: JSON.parse(__metadata__.dinar), arrays };
}

async function bytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server answered ${answer.status} to ${url}`);
  return answer.arrayBuffer();
}

async function open({ file, mesh, provider }) {
  const [data, wasm] = await Promise.all([bytes(file), bytes('./ort.wasm')]);
  const { about, arrays } = readNeural(data);
  const texture = (name, channels, most) => arrays[name] && { size: Math.sqrt(arrays[name].length / channels), channels, most, data: arrays[name] };
  const count = arrays.joints.length / about.influences;
  model = { faces: Int32Array.from(mesh.faces), uv: mesh.uv, base: texture('base', about.channels, 1), coarse: texture('coarse', 4, 1), fine: texture('fine', 4, 255), about };
  rest = { positions: arrays.positions, targets: mesh.targets.map((d) => d.subarray(0, 3 * count)),
    joints: arrays.joints, weights: arrays.weights, influences: about.influences };
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(THREADS, navigator.hardwareConcurrency) : 1;
  const gpu = provider !== 'wasm' && await navigator.gpu?.requestAdapter().catch(() => null);
  const graph = arrays.graph ?? new Uint8Array(await bytes('./renderer.onnx'));
  const { size: n, channels } = about, nothing = (count) => new Float32Array(count * n * n);
  for (const name of gpu ? ['webgpu', 'wasm'] : ['wasm']) {
    try {
      session = await ort.InferenceSession.create(graph, { executionProviders: [name] });
      await run(nothing(channels - 5), nothing(11), n); // some kernels fail only when they run
      return name;
    } catch (error) { if (name === 'wasm') throw error; }
  }
}

async function run(generated, picture, n) {
  const feed = (data) => new ort.Tensor('float32', data, [1, data.length / n / n, n, n]);
  const { y } = await session.run({ generated: feed(generated), picture: feed(picture) });
  return y.data;
}

/** The mesh [V, 3] as its bones (4 x 4 by columns) and expressions move it. */
function skinned({ positions, targets, joints, weights, influences }, bones, expression) {
  const v = Float32Array.from(positions);
  expression.forEach((w, t) => { if (w) targets[t].forEach((d, i) => { v[i] += w * d; }); });
  for (let i = 0; i < v.length / 3; i++) {
    const x = v[3 * i], y = v[3 * i + 1], z = v[3 * i + 2], sum = [0, 0, 0];
    for (let j = i * influences; j < (i + 1) * influences; j++) {
      const w = weights[j], b = 16 * joints[j];
      if (w) for (let r = 0; r < 3; r++) sum[r] += w * (bones[b + r] * x + bones[b + 4 + r] * y + bones[b + 8 + r] * z + bones[b + 12 + r]);
    }
    v.set(sum, 3 * i);
  }
  return v;
}

async function answer({ data }) {
  try {
    if (data.open) postMessage({ opened: await open(data.open) });
    else {
      const picture = await neuralPicture(model, skinned(rest, data.bones, data.expression), data.camera, run);
      postMessage({ picture }, picture ? [picture.rgba.buffer] : []);
    }
  } catch (error) { postMessage({ error: error.message ?? String(error) }); }
}

let last = Promise.resolve(); // one after another
onmessage = (event) => { last = last.then(() => answer(event)); };
