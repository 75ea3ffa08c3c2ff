// Enlarging and blurring of float pictures as OpenCV does it (warpAffine, GaussianBlur), which Python's renderer calls.
const CUBIC = -0.75; // parameter of OpenCV's bicubic interpolation

/**
 * Pictures [size, size, channels] on `height` x `width` pixels: pixel x, y shows the place (x - x0) / k, (y - y0) / k.
 * Outside they are 0. Results are in [0, 1].
 */
export function enlarged(picture, size, channels, { height, width, k, x0, y0 }) {
  const taps = k > 1 ? cubic : linear;
  const across = taps(width, k, x0, size), along = taps(height, k, y0, size);
  const count = across.count, rows = new Float32Array(size * width * channels);
  for (let y = 0; y < size; y++) { // separable: rows first
    for (let x = 0, o = y * width * channels; x < width; x++, o += channels) {
      for (let t = 0; t < count; t++) {
        const at = across.at[x * count + t], weight = across.weight[x * count + t], i = (y * size + at) * channels;
        if (at < 0) continue;
        for (let c = 0; c < channels; c++) rows[o + c] += weight * picture[i + c];
      }
    }
  }
  const out = new Float32Array(height * width * channels), n = width * channels;
  for (let y = 0; y < height; y++) {
    for (let t = 0; t < count; t++) {
      const at = along.at[y * count + t], weight = along.weight[y * count + t];
      if (at < 0) continue;
      for (let i = 0; i < n; i++) out[y * n + i] += weight * rows[at * n + i];
    }
    for (let i = y * n; i < (y + 1) * n; i++) out[i] = Math.min(1, Math.max(0, out[i]));
  }
  return out;
}

function linear(length, k, x0, size) {
  return taps(length, 2, size, (x) => {
    const place = (x - x0) / k, at = Math.floor(place), f = place - at;
    return [at, [1 - f, f]];
  });
}

function cubic(length, k, x0, size) {
  const A = CUBIC, weights = (f) => {
    const c0 = ((A * (f + 1) - 5 * A) * (f + 1) + 8 * A) * (f + 1) - 4 * A;
    const c1 = ((A + 2) * f - (A + 3)) * f * f + 1, g = 1 - f, c2 = ((A + 2) * g - (A + 3)) * g * g + 1;
    return [c0, c1, c2, 1 - c0 - c1 - c2];
  };
  return taps(length, 4, size, (x) => {
    const place = (x - x0) / k, at = Math.floor(place);
    return [at - 1, weights(place - at)];
  });
}

function taps(length, count, size, of) {
  const at = new Int32Array(length * count), weight = new Float32Array(length * count);
  for (let x = 0; x < length; x++) {
    const [first, weights] = of(x);
    for (let t = 0; t < count; t++) {
      const i = first + t;
      at[x * count + t] = i >= 0 && i < size ? i : -1;
      weight[x * count + t] = weights[t];
    }
  }
  return { at, weight, count };
}

/** A picture [size, size] blurred with a Gaussian of `sigma` pixels; its border is mirrored. */
export function blurred(a, size, sigma) {
  const r = Math.round(4 * sigma), kernel = Float64Array.from({ length: 2 * r + 1 }, (_, i) => Math.exp(-((i - r) ** 2) / (2 * sigma ** 2)));
  const total = kernel.reduce((x, y) => x + y, 0);
  const line = new Float64Array(size + 2 * r); // a row or column with its mirrored border
  let from = a;
  for (const [along, across] of [[1, size], [size, 1]]) {
    const out = new Float32Array(size * size);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) line[j + r] = from[j * along + i * across];
      for (let j = 0; j < r; j++) {
        line[j] = line[2 * r - j];
        line[size + r + j] = line[size + r - 2 - j];
      }
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let t = 0; t <= 2 * r; t++) sum += kernel[t] * line[j + t];
        out[j * along + i * across] = sum / total;
      }
    }
    from = out;
  }
  return from;
}
