// The scan in 3D, colored by anomaly: drag, wheel, fingers or keys turn it.

import {
  BufferAttribute, BufferGeometry, PerspectiveCamera, Points, Scene, ShaderMaterial, Vector3, WebGLRenderer,
} from "./vendor/three.module.min.js";
import { OrbitControls } from "./vendor/OrbitControls.js";
import { opacity, position, scaleColor } from "./colors.js";
import { relief, spacing } from "./shading.js";

const FIELD_OF_VIEW = 35;
const TILT = (35 * Math.PI) / 180;
const TURN = Math.PI / 18;
const ZOOM = 1.15;

const VERTEX = `
  attribute vec3 tint;
  attribute float stretch;
  uniform float size;
  varying vec3 seen;
  void main() {
    seen = tint;
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * place;
    gl_PointSize = max(1.5, size * stretch / -place.z);
  }`;
const FRAGMENT = `
  varying vec3 seen;
  void main() {
    vec2 offset = gl_PointCoord - 0.5;
    if (dot(offset, offset) > 0.25) discard;
    gl_FragColor = vec4(seen, 1.0);
  }`;

/** One canvas with one cloud; it draws when something changed, and rests else. */
export class CloudView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @throws where the browser has no WebGL 2
   */
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, alpha: true, antialias: true });
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 1e-4, 100);
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.enableZoom = false; // the wheel scrolls the page until the view is chosen
    this.material = new ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms: { size: { value: 1 } } });
    this.cloud = null;
    this.radius = 0;
    this.spacing = 0;
    this.due = false;
    this.controls.addEventListener("change", () => this.draw());
    canvas.addEventListener("focus", () => { this.controls.enableZoom = true; });
    canvas.addEventListener("blur", () => { this.controls.enableZoom = false; });
    canvas.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  /** @param {Float32Array} points x, y, z in metres and anomaly by threshold, of every point */
  show(points) {
    const count = points.length / 4;
    const xyz = new Float32Array(3 * count);
    for (let index = 0; index < count; index++) {
      // A sensor looks along z with y down: seen from it, y goes up and z comes near.
      xyz[3 * index] = points[4 * index];
      xyz[3 * index + 1] = -points[4 * index + 1];
      xyz[3 * index + 2] = -points[4 * index + 2];
    }
    const before = this.radius;
    this.clear();
    this.spacing = spacing(xyz);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(xyz, 3));
    const { gray, stretch } = relief(xyz);
    geometry.setAttribute("tint", new BufferAttribute(tints(points, gray), 3, true));
    geometry.setAttribute("stretch", new BufferAttribute(stretch, 1));
    geometry.computeBoundingSphere();
    this.cloud = new Points(geometry, this.material);
    this.scene.add(this.cloud);
    this.radius = Math.max(geometry.boundingSphere.radius, 1e-6);
    // Parts of one kind are compared from one side: the view stays as it was turned.
    if (!(before > 0.5 * this.radius && before < 2 * this.radius)) this.reset();
    this.resize();
  }

  /** Show nothing. */
  clear() {
    if (this.cloud) {
      this.scene.remove(this.cloud);
      this.cloud.geometry.dispose();
      this.cloud = null;
    }
    this.draw();
  }

  /** The view from the sensor, a little tilted. */
  reset() {
    const narrow = Math.min(1, this.canvas.clientWidth / Math.max(1, this.canvas.clientHeight)) || 1;
    const away = this.radius / Math.sin((FIELD_OF_VIEW * Math.PI) / 360) / narrow;
    this.controls.target.set(0, 0, 0);
    this.camera.position.set(0, -Math.sin(TILT) * away, Math.cos(TILT) * away);
    this.camera.near = away / 50;
    this.camera.far = away * 20;
    this.camera.updateProjectionMatrix();
    this.controls.minDistance = this.radius / 4;
    this.controls.maxDistance = away * 5;
    this.controls.update();
    this.draw();
  }

  press(event) {
    const turns = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] };
    const zooms = { "+": 1 / ZOOM, "=": 1 / ZOOM, "-": ZOOM };
    if (event.key in turns) this.turn(...turns[event.key]);
    else if (event.key in zooms) this.zoom(zooms[event.key]);
    else if (event.key === "0" || event.key === "Home") this.reset();
    else return;
    event.preventDefault();
  }

  /** Turn by angles: around the upright axis, and from above towards the side. */
  turn(around, down) {
    const offset = this.camera.position.clone().sub(this.controls.target);
    const length = offset.length();
    const azimuth = Math.atan2(offset.y, offset.x) + around;
    const polar = Math.min(Math.PI - 0.01, Math.max(0.01, Math.acos(offset.z / length) + down));
    const flat = Math.sin(polar) * length;
    offset.set(Math.cos(azimuth) * flat, Math.sin(azimuth) * flat, Math.cos(polar) * length);
    this.camera.position.copy(offset.add(this.controls.target));
    this.controls.update();
    this.draw();
  }

  zoom(factor) {
    const offset = new Vector3().subVectors(this.camera.position, this.controls.target).multiplyScalar(factor);
    this.camera.position.addVectors(this.controls.target, offset);
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    const focal = (0.5 * height * this.renderer.getPixelRatio()) / Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    this.material.uniforms.size.value = 1.7 * this.spacing * focal;
    this.draw();
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.renderer.render(this.scene, this.camera);
    });
  }
}

/** Red, green and blue of every point, 0 to 255: the relief in gray, the scale's colors over it. */
function tints(points, gray) {
  const colors = new Uint8Array(3 * gray.length);
  for (let index = 0; index < gray.length; index++) {
    const place = position(points[4 * index + 3]);
    const covered = opacity(place), color = scaleColor(place);
    for (let channel = 0; channel < 3; channel++) {
      colors[3 * index + channel] = gray[index] * (1 - covered) + color[channel] * covered;
    }
  }
  return colors;
}
