// The stage: one avatar (a GLB of `dinar export`) with three.js. No controls here; panel.js has them.
import { openNeural } from 'dinar/layer.js';
import {
  AnimationMixer, Box3, DirectionalLight, GLTFLoader, HemisphereLight, Matrix4, Mesh, MeshStandardMaterial,
  OrbitControls, PCFShadowMap, PerspectiveCamera, PlaneGeometry, Scene, ShadowMaterial, Vector3, WebGLRenderer,
} from 'three';

const FOV = 26; // degrees, vertical: that of a portrait lens
const MARGIN = 1.12; // of the frame around the person
const FADE = 0.35; // seconds from one motion to the next
const EASE = 9; // 1/s: expressions reach their weights exponentially
const BLINK = [2.5, 6]; // seconds between blinks: least and most
const CALM = matchMedia('(prefers-reduced-motion: reduce)').matches;
const FLIP = new Matrix4().makeScale(1, -1, -1); // photo cameras: y down, z forward; three.js: y up, z backward

/**
 * The viewer of the GLB `bytes` (ArrayBuffer) on a canvas. `photo`: the camera of the photo, see web/page.py; `layer`: a
 * canvas over the first one, for the neural picture.
 */
export async function createViewer(canvas, bytes, photo = null, layer = null) {
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
  renderer.shadowMap.enabled = true;
  renderer.shadowMap.type = PCFShadowMap;
  const gltf = await new GLTFLoader().parseAsync(bytes, '');
  const scene = new Scene();
  scene.add(gltf.scene);
  let mesh = null;
  gltf.scene.traverse((o) => { if (o.isSkinnedMesh) mesh = o; });
  mesh.frustumCulled = false; // its bounds are those of the rest pose
  mesh.castShadow = true;
  const box = new Box3().setFromObject(mesh);
  const height = box.max.y - box.min.y;

  // ---- light ---------------------------------------------------------------------------------------------------
  const flat = mesh.material; // the texture as it is: it has the photo's light already
  const lit = new MeshStandardMaterial({ map: flat.map, roughness: 0.85, side: flat.side });
  const sky = new HemisphereLight(0xffffff, 0xb9b4ac, 0);
  const sun = new DirectionalLight(0xffffff, 0);
  const far = 1.4 * height;
  sun.position.set(0.6, 2, 1.1).multiplyScalar(height);
  sun.castShadow = true;
  sun.shadow.mapSize.set(1024, 1024);
  sun.shadow.radius = 5;
  sun.shadow.normalBias = 0.02;
  Object.assign(sun.shadow.camera, { left: -far, right: far, top: far, bottom: -far, near: 0.1, far: 4 * height });
  const ground = new Mesh(new PlaneGeometry(12, 12), new ShadowMaterial({ opacity: 0.22 }));
  ground.rotation.x = -Math.PI / 2;
  ground.receiveShadow = true;
  scene.add(sky, sun, sun.target, ground);
  const LIGHTS = { photo: [flat, 0, 0], soft: [lit, 2.4, 0.9], sun: [lit, 1.1, 3.2] };

  function setLight(name) {
    [mesh.material, sky.intensity, sun.intensity] = LIGHTS[name];
    if (name === 'photo') sun.intensity = 0.01; // for the shadow on the ground alone
    mesh.receiveShadow = name === 'sun';
    dirty = true;
  }

  // ---- camera --------------------------------------------------------------------------------------------------
  const camera = new PerspectiveCamera(FOV, 1, 0.05, 60);
  const orbit = new OrbitControls(camera, canvas);
  Object.assign(orbit, { enableDamping: true, dampingFactor: 0.08, minDistance: 0.4, maxDistance: 9,
    maxPolarAngle: Math.PI / 2 + 0.12, zoomSpeed: 0.8, autoRotateSpeed: 1.6 });
  orbit.addEventListener('change', () => { dirty = true; });
  let width = 1, tall = 1, dirty = true, comparing = false;

  function frame(part = 'body') {
    const head = mesh.skeleton.bones.find((b) => b.name === 'head');
    const [centre, size] = part === 'face' && head
      ? [head.getWorldPosition(new Vector3()).y + 0.04 * height, 0.2 * height] : [height * 0.5, height];
    const half = Math.tan((FOV / 2) * Math.PI / 180);
    const across = Math.min(box.max.x - box.min.x, 0.75 * size); // A-pose hands may leave
    const distance = MARGIN * Math.max(size / 2 / half, across / 2 / (half * (width / tall))) + box.max.z;
    const side = part === 'face' ? 0.25 : 0.3; // radians off the front
    orbit.target.set(0, centre, 0);
    camera.position.set(Math.sin(side) * distance, centre + 0.06 * distance, Math.cos(side) * distance);
    orbit.update();
    dirty = true;
  }

  /** See the avatar as the photo's camera did: its picture lies on `rect` of the canvas (x, y, width; CSS pixels). */
  function seeAsPhoto(rect) {
    const k = rect.width / photo.width;
    const [fx, fy, cx, cy] = [photo.K[0][0] * k, photo.K[1][1] * k, photo.K[0][2] * k + rect.x, photo.K[1][2] * k + rect.y];
    const [n, f] = [0.05, 100];
    camera.projectionMatrix.set(
      2 * fx / width, 0, 1 - 2 * cx / width, 0, 0, 2 * fy / tall, 2 * cy / tall - 1, 0,
      0, 0, -(f + n) / (f - n), -2 * f * n / (f - n), 0, 0, -1, 0);
    camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
    scene.updateMatrixWorld();
    const shift = mesh.skeleton.bones[0].getWorldPosition(new Vector3()).sub(new Vector3(...photo.hips));
    const view = new Matrix4().set(...photo.T_cam_world.flat()).premultiply(FLIP)
      .multiply(new Matrix4().makeTranslation(-shift.x, -shift.y, -shift.z));
    view.invert().decompose(camera.position, camera.quaternion, camera.scale);
    camera.updateMatrixWorld();
    dirty = true;
  }

  /** Show the pose of the photo from its camera, under the picture on `rect`; null: back to the stage. */
  let before = null;
  function compare(rect) {
    if (rect) {
      if (!comparing) {
        before = { motion: playing, position: camera.position.clone(), auto: orbit.autoRotate };
        play('photo', 0);
        mixer.update(0);
      }
      comparing = true;
      orbit.enabled = ground.visible = false;
      seeAsPhoto(rect);
    } else if (comparing) {
      comparing = false;
      orbit.enabled = ground.visible = true;
      camera.position.copy(before.position);
      resize(width, tall);
      orbit.update();
      play(before.motion, 0);
    }
  }

  function resize(w, h) {
    [width, tall] = [w, h];
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    renderer.setSize(w, h, false);
    camera.aspect = w / h;
    if (!comparing) camera.updateProjectionMatrix();
    dirty = true;
  }

  // ---- motions -------------------------------------------------------------------------------------------------
  const mixer = new AnimationMixer(gltf.scene);
  const actions = Object.fromEntries(gltf.animations.map((clip) => [clip.name, mixer.clipAction(clip)]));
  let playing = null, paused = false;

  function play(name, fade = FADE) {
    const next = actions[name], last = actions[playing];
    if (next === last) return;
    if (next) next.reset().setEffectiveWeight(1).play();
    if (last && next && fade) last.crossFadeTo(next, fade, false);
    else if (last) last.stop();
    playing = next ? name : null;
    dirty = true;
  }

  // ---- expressions ---------------------------------------------------------------------------------------------
  const morphs = mesh.morphTargetDictionary ?? {};
  const wanted = Object.fromEntries(Object.keys(morphs).map((name) => [name, 0]));
  const blinks = ['eyeBlinkLeft', 'eyeBlinkRight'].filter((name) => name in morphs);
  let untilBlink = BLINK[0], lid = 0;

  function express(dt) {
    const k = 1 - Math.exp(-EASE * dt), w = mesh.morphTargetInfluences;
    untilBlink -= dt;
    if (untilBlink < 0) { // 0.07 s down, 0.13 s up
      lid = untilBlink > -0.07 ? -untilBlink / 0.07 : Math.max(0, 1 - (-untilBlink - 0.07) / 0.13);
      if (untilBlink < -0.2) untilBlink = BLINK[0] + Math.random() * (BLINK[1] - BLINK[0]);
    } else lid = 0;
    for (const [name, i] of Object.entries(morphs)) {
      const now = w[i] + k * (wanted[name] - w[i]);
      w[i] = Math.abs(now - wanted[name]) < 1e-3 ? wanted[name] : now;
    }
    if (lid && !CALM && !paused && !comparing) for (const name of blinks) w[morphs[name]] = Math.max(w[morphs[name]], lid);
  }

  // ---- the neural picture --------------------------------------------------------------------------------------
  let neural = null, neuralFrames = 0;

  /** Draw with the networks of a file, by its address; null: the mesh. */
  async function setNeural(file, provider = null) {
    neural?.close();
    neural = null;
    if (file) neural = await openNeural(layer, mesh, file, provider);
    for (const material of [flat, lit]) material.colorWrite = material.depthWrite = !neural; // the shadow stays
    dirty = true;
  }

  async function drawNeural() {
    const before = neural;
    try {
      if (await neural.draw(camera, canvas.width, canvas.height)) neuralFrames += 1;
    } catch (error) { if (neural === before) { setNeural(null); console.error(error); } }
  }

  async function picture() {
    renderer.render(scene, camera);
    const both = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height }), pen = both.getContext('2d');
    pen.drawImage(canvas, 0, 0);
    if (neural) pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => { both.toBlob(done, 'image/png'); });
  }

  // ---- the loop ------------------------------------------------------------------------------------------------
  let then = performance.now(), frames = 0, late = false; // late: the neural picture is older than the stage
  function tick(now) {
    const dt = Math.min(0.1, (now - then) / 1000);
    then = now;
    if (!comparing) orbit.update(dt);
    const moving = !paused && !comparing;
    if (moving) mixer.update(dt);
    else if (dirty) mixer.update(0);
    if (comparing) mesh.morphTargetInfluences.fill(0);
    else express(dt);
    const waits = neural && !neural.busy && (moving || dirty || late);
    late = (late || dirty) && neural && !waits;
    if (neural ? waits : moving || dirty) { renderer.render(scene, camera); frames += 1; } // of the networks' stage: the shadow
    if (waits) drawNeural();
    dirty = false;
  }
  renderer.setAnimationLoop(tick);
  setLight('photo');
  frame();

  return {
    motions: Object.keys(actions), expressions: Object.keys(morphs), play, frame, compare, resize, setLight,
    get playing() { return playing; },
    get frames() { return frames; }, // drawn since the start
    setExpression(name, weight) { if (name in wanted) { wanted[name] = weight; dirty = true; } },
    setSpeed(factor) { mixer.timeScale = factor; },
    setPaused(value) { paused = value; dirty = true; },
    setTurning(value) { orbit.autoRotate = value; dirty = true; },
    setShadow(opacity) { ground.material.opacity = opacity; dirty = true; },
    get neuralFrames() { return neuralFrames; },
    get provider() { return neural?.provider ?? null; },
    neuralPicture: (...at) => neural.picture(camera, ...at), // as numbers, for tests
    get camera() { return { K: camera.projectionMatrix.toArray(), T: camera.matrixWorldInverse.toArray() }; },
    picture, setNeural,
    dispose() { neural?.close(); renderer.setAnimationLoop(null); orbit.dispose(); renderer.dispose(); },
  };
}
