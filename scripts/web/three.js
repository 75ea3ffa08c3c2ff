// What the viewer (src/dinar/web/page/viewer.js) takes from three.js: `make web` bundles it into page/three.min.js.
export {
  AnimationMixer, Box3, DirectionalLight, HemisphereLight, Matrix4, Mesh, MeshStandardMaterial, PCFShadowMap,
  PerspectiveCamera, PlaneGeometry, Scene, ShadowMaterial, Vector3, WebGLRenderer,
} from 'three';
export { OrbitControls } from 'three/addons/controls/OrbitControls.js';
export { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
