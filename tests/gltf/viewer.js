// The page: shows /model with three.js. view.mjs calls load() and shot().
import * as THREE from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { VRMLoaderPlugin } from '@pixiv/three-vrm';

const scene = new THREE.Scene();
scene.background = new THREE.Color(0x8090a0);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 2));
const sun = new THREE.DirectionalLight(0xffffff, 2);
scene.add(sun);
scene.add(new THREE.GridHelper(2, 4, 0x404040, 0x606060)); // the ground, y = 0
const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
document.body.append(renderer.domElement);
let gltf, mesh, mixer;

window.load = async () => {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  gltf = await loader.loadAsync('/model');
  scene.add(gltf.scene);
  gltf.scene.traverse((o) => { if (o.isSkinnedMesh) mesh = o; });
  mesh.frustumCulled = false;
  mixer = new THREE.AnimationMixer(gltf.scene);
  const vrm = gltf.userData.vrm;
  return {
    clips: gltf.animations.map((a) => ({ name: a.name, duration: a.duration, tracks: a.tracks.length })),
    bones: mesh.skeleton.bones.map((b) => b.name),
    morphs: Object.keys(mesh.morphTargetDictionary ?? {}),
    vertices: mesh.geometry.attributes.position.count,
    vrm: vrm && {
      bones: Object.keys(vrm.humanoid.humanBones),
      springs: vrm.springBoneManager?.joints.size ?? 0,
      expressions: (vrm.expressionManager?.expressions ?? []).map((e) => e.expressionName),
      meta: vrm.meta,
    },
  };
};

// { size: [w, h], from: [x, y, z], to: [x, y, z], clip, time, springs: run VRM's spring bones
//   up to this time, morphs: { name: weight }, expression,
//   look: point that a VRM's eyes look at, vertices: [index...] } -> the picture as a data URL, and world positions of the vertices
window.shot = async ({ size, from, to, clip, time, springs, morphs, expression, look, vertices }) => {
  mixer.stopAllAction(); // back to the rest pose
  mesh.morphTargetInfluences?.fill(0);
  if (clip) {
    const action = mixer.clipAction(gltf.animations.find((a) => a.name === clip)).play();
    action.loop = THREE.LoopOnce;
    action.clampWhenFinished = true;
    mixer.setTime(springs ? 0 : time);
  }
  const vrm = gltf.userData.vrm;
  if (springs) {
    const step = 1 / 60;
    vrm.springBoneManager.reset();
    for (let t = -1; t < time; t += step) { // one second to settle
      mixer.setTime(Math.max(t, 0));
      gltf.scene.updateMatrixWorld(true);
      vrm.springBoneManager.update(step);
    }
  }
  if (expression) {
    vrm.expressionManager.resetValues();
    vrm.expressionManager.setValue(expression, 1);
    vrm.expressionManager.update();
  }
  if (look) {
    vrm.humanoid.resetNormalizedPose();
    gltf.scene.updateMatrixWorld(true);
    vrm.lookAt.lookAt(new THREE.Vector3(...look));
    vrm.lookAt.update(0);
    vrm.humanoid.update();
  }
  for (const [name, weight] of Object.entries(morphs ?? {}))
    mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]] = weight;
  gltf.scene.updateMatrixWorld(true);
  const [w, h] = size;
  renderer.setSize(w, h);
  const camera = new THREE.PerspectiveCamera(30, w / h, 0.01, 100);
  camera.position.set(...from);
  camera.lookAt(...to);
  sun.position.set(...from).add(new THREE.Vector3(1, 1, 0));
  await renderer.compileAsync(scene, camera);
  renderer.render(scene, camera);
  const p = new THREE.Vector3();
  return {
    image: renderer.domElement.toDataURL('image/png'),
    positions: (vertices ?? []).map((i) => mesh.localToWorld(mesh.getVertexPosition(i, p)).toArray()),
  };
};
