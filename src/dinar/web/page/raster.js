// The rasteriser, the texture look-up and push-pull of dinar (scene/_numba.py, neural/texture.py, nets/renderer.py), with
// the same pictures to the bit of the coverage: vertices on a grid of 1/256 pixel, edge functions in whole numbers.
const GRID = 256; // steps of a pixel
const GUARD = 32768; // pixels
const NEAR = 1e-3, FAR = 1e9; // metres

/** Vertices [V, 3] in a camera { K: [fx, fy, cx, cy], T: 3 x 4 by rows }: pixels [V, 2] and depth [V]. */
export function project(vertices, { K: [fx, fy, cx, cy], T }) {
  const n = vertices.length / 3, xy = new Float32Array(2 * n), depth = new Float32Array(n);
  for (let v = 0; v < n; v++) {
    const x = vertices[3 * v], y = vertices[3 * v + 1], z = vertices[3 * v + 2];
    const d = T[8] * x + T[9] * y + T[10] * z + T[11], k = 1 / Math.max(d, 1e-6);
    xy[2 * v] = (T[0] * x + T[1] * y + T[2] * z + T[3]) * k * fx + cx;
    xy[2 * v + 1] = (T[4] * x + T[5] * y + T[6] * z + T[7]) * k * fy + cy;
    depth[v] = d;
  }
  return { xy, depth };
}

/** The visible face of each pixel, -1: none, and its first two barycentrics. `scale`, `x`, `y`: of the pixels. */
export function rasterize({ xy, depth }, faces, height, width, { scale = 1, x: left = 0, y: top = 0 } = {}) {
  const face = new Int32Array(height * width).fill(-1), near = new Float32Array(height * width);
  const bary = new Float32Array(2 * height * width);
  const n = depth.length, q = new Int32Array(2 * n), w = new Float32Array(n);
  for (let v = 0; v < n; v++) {
    const x = Math.fround((xy[2 * v] - left) * scale), y = Math.fround((xy[2 * v + 1] - top) * scale), z = depth[v];
    if (Math.abs(x) > GUARD || Math.abs(y) > GUARD || !(z > NEAR && z < FAR)) continue;
    q[2 * v] = Math.round(x * GRID) - GRID / 2;
    q[2 * v + 1] = Math.round(y * GRID) - GRID / 2;
    w[v] = 1 / z;
  }
  for (let f = 0; f < faces.length / 3; f++) {
    const a = faces[3 * f], b = faces[3 * f + 1], c = faces[3 * f + 2];
    const ay = q[2 * a + 1], by = q[2 * b + 1], cy = q[2 * c + 1];
    const y0 = Math.max((Math.min(ay, by, cy) + GRID - 1) >> 8, 0), y1 = Math.min(Math.max(ay, by, cy) >> 8, height - 1);
    if (y1 < y0) continue;
    const ax = q[2 * a], bx = q[2 * b], cx = q[2 * c];
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    const x0 = Math.max((Math.min(ax, bx, cx) + GRID - 1) >> 8, 0), x1 = Math.min(Math.max(ax, bx, cx) >> 8, width - 1);
    if (!area || x1 < x0 || !w[a] || !w[b] || !w[c]) continue;
    const s = area > 0 ? 1 : -1, inv = 1 / (area * s);
    const k0 = inv * w[a], k1 = inv * w[b], k2 = inv * w[c];
    const d0x = (cx - bx) * s, d0y = (cy - by) * s, d1x = (ax - cx) * s, d1y = (ay - cy) * s, d2x = (bx - ax) * s, d2y = (by - ay) * s;
    const px = x0 * GRID, py = y0 * GRID;
    // top-left rule: pixels on the other edges are out
    const t0 = d0y < 0 || (d0y === 0 && d0x > 0) ? 0 : 1, t1 = d1y < 0 || (d1y === 0 && d1x > 0) ? 0 : 1;
    const t2 = d2y < 0 || (d2y === 0 && d2x > 0) ? 0 : 1;
    let e0 = d0y * (bx - px) - d0x * (by - py) - t0, e1 = d1y * (cx - px) - d1x * (cy - py) - t1, e2 = d2y * (ax - px) - d2x * (ay - py) - t2;
    for (let y = y0; y <= y1; y++) {
      let g0 = e0, g1 = e1, g2 = e2;
      for (let x = x0, i = y * width + x0; x <= x1; x++, i++) {
        if (g0 >= 0 && g1 >= 0 && g2 >= 0) {
          const p0 = (g0 + t0) * k0, p1 = (g1 + t1) * k1, k = Math.fround(p0 + p1 + (g2 + t2) * k2);
          if (k > near[i]) {
            near[i] = k;
            face[i] = f;
            bary[2 * i] = p0 / k;
            bary[2 * i + 1] = p1 / k;
          }
        }
        g0 -= d0y * GRID; g1 -= d1y * GRID; g2 -= d2y * GRID;
      }
      e0 += d0x * GRID; e1 += d1x * GRID; e2 += d2x * GRID;
    }
  }
  return { face, bary };
}

/** u and v of pixel i of a raster in `at`; false in the background. */
export function place({ face, bary }, i, faces, uv, at) {
  const f = face[i];
  if (f < 0) return false;
  const a = faces[3 * f], b = faces[3 * f + 1], c = faces[3 * f + 2];
  const b0 = bary[2 * i], b1 = bary[2 * i + 1], b2 = 1 - b0 - b1;
  at[0] = b0 * uv[2 * a] + b1 * uv[2 * b] + b2 * uv[2 * c];
  at[1] = b0 * uv[2 * a + 1] + b1 * uv[2 * b + 1] + b2 * uv[2 * c + 1];
  return true;
}

/** Channels of a texture { size, channels, data: [size, size, channels] } at u, v: bilinear, into `out`. */
export function lookUp({ size, channels, data }, u, v, out) {
  const x = Math.min(Math.max(u * size - 0.5, 0), size - 1), y = Math.min(Math.max(v * size - 0.5, 0), size - 1);
  const x0 = Math.floor(x), y0 = Math.floor(y), fx = x - x0, fy = y - y0;
  const right = x0 + 1 < size ? channels : 0, down = y0 + 1 < size ? size * channels : 0;
  const i = (y0 * size + x0) * channels;
  const w00 = (1 - fx) * (1 - fy), w01 = fx * (1 - fy), w10 = (1 - fx) * fy, w11 = fx * fy;
  for (let c = 0; c < channels; c++) {
    const j = i + c;
    out[c] = w00 * data[j] + w01 * data[j + right] + w10 * data[j + down] + w11 * data[j + down + right];
  }
}

/** Colours [3, height, width] where `known` [height, width] is over .5; elsewhere from a pyramid of their averages. */
export function pushPull(colour, known, height, width) {
  const n = height * width, c = new Float32Array(3 * n), k = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    if (!(known[i] > 0.5)) continue;
    k[i] = 1;
    for (let p = 0; p < 3; p++) c[p * n + i] = colour[p * n + i];
  }
  let [h, w] = [height, width];
  const levels = [{ c, k, h, w }];
  while (h % 2 === 0 && w % 2 === 0 && h > 4 && w > 4) {
    const last = levels.at(-1);
    [h, w] = [h / 2, w / 2];
    levels.push({ c: halved(last.c, 3, h, w), k: halved(last.k, 1, h, w), h, w });
  }
  const top = levels.pop(), m = top.h * top.w, total = top.k.reduce((a, b) => a + b, 0) / m + 1e-4;
  let out = new Float32Array(3 * m);
  for (let p = 0; p < 3; p++) {
    const mean = top.c.subarray(p * m, (p + 1) * m).reduce((a, b) => a + b, 0) / m / total;
    for (let i = 0; i < m; i++) out[p * m + i] = top.k[i] > 1e-4 ? top.c[p * m + i] / (top.k[i] + 1e-4) : mean;
  }
  for (const { c: own, k: share, h: tall, w: wide } of levels.reverse()) out = doubled(out, own, share, tall, wide);
  return out;
}

function halved(a, channels, h, w) {
  const out = new Float32Array(channels * h * w), row = 2 * w;
  for (let p = 0, i = 0; p < channels; p++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0, j = (p * 2 * h + 2 * y) * row; x < w; x++, i++, j += 2) out[i] = (a[j] + a[j + 1] + a[j + row] + a[j + row + 1]) / 4;
    }
  }
  return out;
}

/** The coarser level, bilinearly enlarged, where `share` of a pixel is not known; `own` has its share already. */
function doubled(a, own, share, height, width) {
  const out = new Float32Array(3 * height * width), h = height / 2, w = width / 2, row = new Float32Array(w);
  for (let p = 0; p < 3; p++) {
    for (let y = 0; y < height; y++) {
      const at = y >> 1, other = Math.min(Math.max(at + (y & 1 ? 1 : -1), 0), h - 1);
      const i = (p * h + at) * w, j = (p * h + other) * w;
      for (let x = 0; x < w; x++) row[x] = 0.75 * a[i + x] + 0.25 * a[j + x];
      for (let x = 0; x < width; x++) {
        const here = x >> 1, beside = Math.min(Math.max(here + (x & 1 ? 1 : -1), 0), w - 1);
        const o = (p * height + y) * width + x;
        out[o] = own[o] + (1 - share[y * width + x]) * (0.75 * row[here] + 0.25 * row[beside]);
      }
    }
  }
  return out;
}
