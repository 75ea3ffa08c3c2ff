// The neural picture of a mesh in a camera: neural/render.py, step by step. `run` computes the network's convolutions.
import { lookUp, place, project, pushPull, rasterize } from './raster.js';
import { blurred, enlarged } from './resample.js';

/**
 * vertices: [V, 3] world; camera: { K: [fx, fy, cx, cy], T: 3 x 4, width, height };
 * model: { faces, uv, base, coarse, fine, about } of a neural file (web/neural.py); run: (generated, picture, size) => y.
 * Returns { x, y, width, height, rgba }: a part of the camera's image, straight alpha; null: nothing is seen.
 */
export async function neuralPicture(model, vertices, camera, run) {
  const { size: n, margin } = model.about, seen = project(vertices, camera);
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  seen.depth.forEach((z, v) => {
    if (!(z > 0)) return;
    for (const i of [0, 1]) {
      low[i] = Math.min(low[i], seen.xy[2 * v + i]);
      high[i] = Math.max(high[i], seen.xy[2 * v + i]);
    }
  });
  const extent = Math.max(high[0] - low[0], high[1] - low[1]), reach = extent * 2 * margin;
  const [left, top] = low.map((v) => Math.trunc(Math.max(v - reach, 0)));
  const [right, bottom] = [camera.width, camera.height].map((most, i) => Math.trunc(Math.min(high[i] + reach + 1, most)));
  const width = right - left, height = bottom - top;
  if (!(width > 0 && height > 0)) return null;
  const side = extent + 2 * reach, x0 = (low[0] + high[0] - side) / 2, y0 = (low[1] + high[1] - side) / 2, k = n / side;

  const layers = await networkLayers(model, seen, { x: x0, y: y0, scale: k }, run);
  const onto = { width, height, k: 1 / k, x0: x0 - left + 0.5 / k - 0.5, y0: y0 - top + 0.5 / k - 0.5 };
  const rgba = (k >= 1 ? small : sharp)(model, layers, onto, seen, left, top);
  return { x: left, y: top, width, height, rgba };
}

/** The network's own colours, alpha and gate, the filled colours and the mesh's coverage, [n, n] each. */
async function networkLayers({ faces, uv, base, coarse, about }, seen, square, run) {
  const n = about.size, area = n * n, channels = base.channels - 5;
  const cover = new Float32Array(area), generated = new Float32Array(channels * area), colours = new Float32Array(5 * area);
  const uvs = new Float32Array(2 * area), raster = rasterize(seen, faces, n, n, square);
  const fine = rasterize({ xy: seen.xy, depth: seen.depth }, faces, 2 * n, 2 * n, { ...square, scale: 2 * square.scale });
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x++) {
      const j = 4 * y * n + 2 * x;
      cover[y * n + x] = (+(fine.face[j] >= 0) + (fine.face[j + 1] >= 0) + (fine.face[j + 2 * n] >= 0) + (fine.face[j + 2 * n + 1] >= 0)) / 4;
    }
  }
  const at = [0, 0], texel = new Float64Array(base.channels), colour = new Float64Array(5), extra = new Float64Array(4);
  for (let i = 0; i < area; i++) {
    if (!place(raster, i, faces, uv, at)) continue;
    lookUp(base, ...at, texel);
    for (let c = 0; c < channels; c++) generated[c * area + i] = texel[c];
    [uvs[i], uvs[area + i]] = at;
    coloursAt(texel, channels, coarse, at, extra, colour, about);
    for (let c = 0; c < 5; c++) colours[c * area + i] = colour[c];
  }
  const known = new Float32Array(area);
  for (let i = 0; i < area; i++) known[i] = cover[i] * colours[4 * area + i];
  const filled = pushPull(colours, known, n, n), picture = new Float32Array(11 * area);
  picture.set(colours);
  for (let i = 0; i < 2 * area; i++) picture[5 * area + i] = (uvs[i] - 0.5) * cover[i % area];
  picture.set(cover, 7 * area);
  picture.set(filled, 8 * area);
  const y = await run(generated, picture, n);

  const r = about.unshuffle, own = new Float32Array(3 * area), alpha = new Float32Array(area), gate = new Float32Array(area);
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  for (let channel = 0, j = 0; channel < 5 * r * r; channel++) { // pixel shuffle
    const c = Math.floor(channel / r / r), down = Math.floor(channel / r) % r, right = channel % r;
    for (let row = down; row < n; row += r) {
      for (let i = row * n + right; i < (row + 1) * n; i += r, j++) {
        if (c < 3) own[c * area + i] = sigmoid(y[j]);
        else if (c === 3) alpha[i] = sigmoid(y[j] + about.alpha * (2 * cover[i] - 1));
        else gate[i] = sigmoid(y[j] + about.gate * known[i]);
      }
    }
  }
  return { own, alpha, gate, filled, cover };
}

/** RGB, B_smp and B_fill of a texel of the base texture, with the sampled colours of a finer one over it. */
function coloursAt(texel, first, finer, at, extra, out, { min_known }) {
  const known = texel[first + 4], divisor = Math.max(known, min_known);
  for (let c = 0; c < 3; c++) out[c] = texel[first + c] / divisor;
  [out[3], out[4]] = [texel[first + 3], known];
  if (finer) {
    lookUp(finer, ...at, extra);
    for (let c = 0; c < 3; c++) out[c] = out[c] * (1 - extra[3] / finer.most) + extra[c] / finer.most;
    out[4] = Math.max(known, extra[3] / finer.most);
  }
  for (let c = 0; c < 3; c++) out[c] = Math.min(1, Math.max(0, out[c]));
}

/** The network's picture, reduced. */
function small({ about }, { own, alpha, gate, filled }, onto) {
  const area = alpha.length, layers = new Float32Array(4 * area);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) layers[4 * i + c] = (gate[i] * filled[c * area + i] + (1 - gate[i]) * own[c * area + i]) * alpha[i];
    layers[4 * i + 3] = alpha[i];
  }
  const out = enlarged(layers, about.size, 4, onto);
  for (let i = 0; i < out.length; i += 4) {
    const a = Math.max(out[i + 3], about.min_alpha);
    for (let c = 0; c < 3; c++) out[i + c] = Math.min(1, out[i + c] / a);
    out[i + 3] = Math.min(1, Math.max(0, (out[i + 3] - about.haze) / (1 - 2 * about.haze)));
  }
  return bytes(out);
}

/** The network's layers enlarged, over colours and an outline at the resolution of the image. */
function sharp({ faces, uv, base, coarse, fine, about }, { own, alpha, gate, cover }, onto, seen, left, top) {
  const n = about.size, area = n * n, { width, height } = onto, { haze, supersampling: m, side_multiple } = about;
  const differ = new Float32Array(area);
  for (let i = 0; i < area; i++) differ[i] = alpha[i] - cover[i];
  const apart = blurred(differ, n, about.blur);
  for (let i = 0; i < area; i++) apart[i] = Math.min(1, Math.abs(apart[i]) / about.moved);
  const moved = blurred(apart, n, about.blur);
  const soft = blurred(alpha, n, about.blur), layers = new Float32Array(7 * area);
  for (let i = 0; i < area; i++) {
    const weight = (alpha[i] + haze) / (1 + haze);
    const j = 7 * i;
    for (let c = 0; c < 3; c++) layers[j + c] = own[c * area + i] * weight;
    layers[j + 3] = weight;
    layers[j + 4] = gate[i] * weight;
    layers[j + 5] = soft[i];
    layers[j + 6] = moved[i];
  }
  const net = enlarged(layers, n, 7, onto);

  const [tall, wide] = [height, width].map((v) => Math.ceil(v / side_multiple) * side_multiple), count = tall * wide;
  const raster = rasterize(seen, faces, m * tall, m * wide, { x: left, y: top, scale: m });
  const rgb = new Float32Array(3 * count), known = new Float32Array(count), outline = new Float32Array(count);
  const at = [0, 0], texel = new Float64Array(base.channels), colour = new Float64Array(5), extra = new Float64Array(4);
  const share = 1 / (m * m), colours = fine ?? coarse, top16 = base.channels - 5;
  for (let j = 0; j < m * tall * m * wide; j++) {
    if (!place(raster, j, faces, uv, at)) continue;
    const row = Math.floor(j / (m * wide)), i = Math.floor(row / m) * wide + Math.floor((j - row * m * wide) / m);
    if (!about.complete) lookUp(base, ...at, texel); // complete: the finer colours are known everywhere
    coloursAt(texel, top16, colours, at, extra, colour, about);
    for (let c = 0; c < 3; c++) rgb[c * count + i] += colour[c] * colour[4] * share;
    known[i] += colour[4] * share;
    outline[i] += share;
  }
  const sure = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    sure[i] = +(known[i] > about.min_known);
    for (let c = 0; c < 3; c++) rgb[c * count + i] /= Math.max(known[i], about.min_known);
  }
  const filled = pushPull(rgb, sure, tall, wide), out = new Float32Array(4 * width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const j = 7 * i, o = y * wide + x, total = Math.max(net[j + 3], about.min_alpha), g = Math.min(1, net[j + 4] / total);
      for (let c = 0; c < 3; c++) out[4 * i + c] = g * filled[c * count + o] + (1 - g) * (net[j + c] / total);
      const steep = Math.min(1, Math.max(0, (net[j + 5] - 0.5) * about.slope + 0.5));
      out[4 * i + 3] = net[j + 6] * steep + (1 - net[j + 6]) * outline[o];
    }
  }
  return bytes(out);
}

function bytes(a) {
  const out = new Uint8ClampedArray(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] * 255; // rounds
  return out;
}
