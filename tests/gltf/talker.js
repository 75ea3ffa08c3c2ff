// The page: /model speaks in the published TalkingHead, a player of talking avatars, which this page gives a scene, a
// camera and the time. view.mjs calls load() and shot().
import * as THREE from 'three';
import { TalkingHead } from '@met4citizen/talkinghead';

const SIZE = 300, STEP = 20; // pixels; ms
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x8090a0);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 3));
const camera = new THREE.PerspectiveCamera(20, 1, 0.01, 100);
const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
renderer.setSize(SIZE, SIZE);
document.getElementById('stage').append(renderer.domElement);
const player = new TalkingHead(document.getElementById('stage'), {
  lipsyncLang: 'en', lipsyncModules: ['en'], avatarOnly: true, avatarOnlyScene: scene, avatarOnlyCamera: camera,
});
const at = (bone) => player.armature.getObjectByName(bone).getWorldPosition(new THREE.Vector3());
const weight = (viseme) => {
  const { morphTargetDictionary: names, morphTargetInfluences: weights } = player.morphs[0];
  return weights[names[`viseme_${viseme}`]];
};
const picture = () => {
  scene.updateMatrixWorld(true);
  const eyes = at('LeftEye').add(at('RightEye')).divideScalar(2);
  camera.position.copy(eyes).add(new THREE.Vector3(0.1, -0.02, 0.85));
  camera.lookAt(eyes.x, eyes.y - 0.03, eyes.z);
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL('image/png');
};
const largest = {}, pictures = {};

window.load = async () => {
  await player.showAvatar({ url: '/model', body: 'F', avatarMood: 'neutral', lipsyncLang: 'en' });
  for (let t = 0; t < 3000; t += STEP) player.animate(STEP); // into its pose
  return {
    visemes: player.visemeNames.filter((n) => weight(n) !== undefined),
    arms: ['Left', 'Right'].map((s) => at(`${s}Arm`).sub(at(`${s}Hand`)).toArray()),
  };
};

// { say: words of /sound, times: [ms...], durations: [ms...] } -> the picture before, as a data URL, and the largest
//   weight of each viseme in what was said; { viseme } -> the picture at the largest one
window.shot = async ({ say, times, durations, viseme }) => {
  if (viseme) return { image: pictures[viseme] ?? picture() };
  const before = picture();
  const data = await (await fetch('/sound')).arrayBuffer();
  const audio = await player.audioCtx.decodeAudioData(data);
  const silent = player.audioSpeechSource; // there is one from the start
  player.speakAudio({ audio, words: say, wtimes: times, wdurations: durations });
  while (player.audioSpeechSource === silent) await new Promise((done) => setTimeout(done, 10));
  for (let t = 0; t < 1000 * audio.duration + 500; t += STEP) {
    player.animate(STEP);
    for (const n of player.visemeNames) {
      if (weight(n) > (largest[n] ?? 0.1) + 0.1) [largest[n], pictures[n]] = [weight(n), picture()];
    }
  }
  return { image: before, weights: largest };
};
