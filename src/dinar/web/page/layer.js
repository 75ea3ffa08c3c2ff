// The neural picture over the stage: a worker (neural.js) draws it for the pose and the camera that the stage has now.
const LARGEST = 1024; // pixels of the longer side of its image; larger stages show it enlarged
const WORKER = '/page/neural.js';

/** `canvas`: on the stage; `mesh`: its skinned mesh; `file`: address of the neural file; `provider`: wasm or null, any. */
export async function openNeural(canvas, mesh, file, provider = null) {
  const worker = new Worker(WORKER, { type: 'module' });
  const asked = []; // answers come in the order of the questions
  worker.onmessage = ({ data }) => { const [done, fail] = asked.shift(); if (data.error) fail(new Error(data.error)); else done(data); };
  worker.onerror = (e) => { for (const [, fail] of asked.splice(0)) fail(new Error(e.message || 'the worker cannot be loaded')); };
  const ask = (message) => new Promise((done, fail) => { asked.push([done, fail]); worker.postMessage(message); });
  const g = mesh.geometry, pen = canvas.getContext('2d');
  const { opened } = await ask({ open: { file: new URL(file, location.href).href, provider, mesh: {
    positions: Float32Array.from(g.attributes.position.array), uv: Float32Array.from(g.attributes.uv.array),
    faces: Int32Array.from(g.index.array), targets: (g.morphAttributes.position ?? []).map((a) => Float32Array.from(a.array)),
  } } });
  let busy = false;

  /** The picture of a three.js camera for a stage of width x height pixels. */
  async function picture(camera, width, height) {
    const P = camera.projectionMatrix.elements, V = camera.matrixWorldInverse.elements;
    const K = [P[0] * width / 2, P[5] * height / 2, (1 - P[8]) * width / 2, (1 + P[9]) * height / 2];
    const T = [0, 1, 2].flatMap((row) => [0, 1, 2, 3].map((column) => (row ? -1 : 1) * V[4 * column + row])); // y down, z forward
    mesh.skeleton.update();
    const answer = await ask({ bones: Float32Array.from(mesh.skeleton.boneMatrices), camera: { K, T, width, height },
      expression: [...(mesh.morphTargetInfluences ?? [])] });
    return answer.picture;
  }

  /** Draw, unless the last picture is not ready yet: then false. */
  async function draw(camera, wide, tall) {
    if (busy) return false;
    busy = true;
    const k = Math.min(1, LARGEST / Math.max(wide, tall)), [width, height] = [Math.round(wide * k), Math.round(tall * k)];
    try {
      const p = await picture(camera, width, height);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      pen.clearRect(0, 0, width, height);
      if (p) pen.putImageData(new ImageData(p.rgba, p.width, p.height), p.x, p.y);
    } finally { busy = false; }
    return true;
  }
  return { draw, picture, provider: opened, get busy() { return busy; }, close() { worker.terminate(); pen.clearRect(0, 0, canvas.width, canvas.height); } };
}
