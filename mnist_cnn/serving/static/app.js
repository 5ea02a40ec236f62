"use strict";
/* The page: sends the strokes as a picture while they are drawn, and shows the answer.
   All state is in one object; every change ends in `changed`, which redraws and asks again. */

const UNITS = 800;           // the sheet's width, in which strokes are kept
const SENT_WIDTH = 640;      // the width of the picture that is sent, in pixels
const PICTURE_SIDE = 1024;   // a photo is shrunk to this before it is sent
const POLL_MILLISECONDS = 2000;
const SHOWN_CLASSES = 10;   // with more, only the most probable are shown
const DIGITS = { like_mnist: true, class_names: [..."0123456789"] };

const $ = (id) => document.getElementById(id);
const ink = $("ink"), marks = $("marks");
const state = {
  strokes: [],       // each {width, points: [[x, y], …]}, in units
  picture: null,     // {bitmap, blob}, instead of strokes
  cleared: null,     // what the last `clear` or picture replaced, for undo
  answer: null,
  selected: 0,
  pen: { x: UNITS / 2, y: UNITS / 4, down: false, seen: false },
  champion: undefined,  // its name and version; null if there is none
  model: DIGITS,        // what /api/model says of the champion
};

/* ---- the sheet ---- */

const height = () => Math.round(UNITS * ink.clientHeight / Math.max(1, ink.clientWidth));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function paintStrokes(context, scale, style) {
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = style;
  for (const { width, points } of state.strokes) {
    context.lineWidth = width * scale;
    context.beginPath();
    points.forEach(([x, y], i) => {
      if (i === 0) context.moveTo(x * scale, y * scale);
      else context.lineTo(x * scale, y * scale);
    });
    // Not every browser paints a line of length 0, so a dot is a very short line.
    if (points.length === 1) context.lineTo(points[0][0] * scale + 0.01, points[0][1] * scale);
    context.stroke();
  }
}

/* The picture's place on the sheet, in units: as large as fits, centred. */
function frame() {
  const { width, height: tall } = state.picture.bitmap;
  const scale = Math.min(UNITS / width, height() / tall);
  return { x: (UNITS - width * scale) / 2, y: (height() - tall * scale) / 2, scale };
}

function paint() {
  const scale = ink.clientWidth * (window.devicePixelRatio || 1) / UNITS;
  for (const canvas of [ink, marks]) {
    canvas.width = Math.max(1, Math.round(UNITS * scale));
    canvas.height = Math.max(1, Math.round(height() * scale));
  }
  const context = ink.getContext("2d");
  if (state.picture) {
    const { x, y, scale: zoom } = frame(), { bitmap } = state.picture;
    context.drawImage(bitmap, x * scale, y * scale,
      bitmap.width * zoom * scale, bitmap.height * zoom * scale);
  }
  paintStrokes(context, scale, colour("--ink"));
  paintMarks(scale);
  const empty = isEmpty();
  $("hint").hidden = !empty;
  $("clear").disabled = empty;
  $("undo").disabled = empty && !state.cleared;
}

/* Boxes around the digits, so that a wrong split shows, and the keyboard's pen. */
function paintMarks(scale) {
  const context = marks.getContext("2d");
  const digits = state.answer ? state.answer.predictions : [];
  if (!isEmpty() && state.model.like_mnist && (digits.length > 1 || digits.some((digit) => digit.doubtful))) {
    for (const { box, doubtful } of digits) {
      const origin = state.picture ? frame() : { x: 0, y: 0, scale: UNITS / SENT_WIDTH };
      const shrunk = state.picture ? state.picture.bitmap.width / state.picture.sentWidth : 1;
      const zoom = origin.scale * shrunk, margin = 6;
      context.strokeStyle = colour(doubtful ? "--warn" : "--accent");
      context.lineWidth = 2 * scale;
      context.setLineDash(doubtful ? [8 * scale, 6 * scale] : []);
      context.strokeRect((origin.x + box.left * zoom - margin) * scale,
        (origin.y + box.top * zoom - margin) * scale,
        (box.width * zoom + 2 * margin) * scale, (box.height * zoom + 2 * margin) * scale);
    }
  }
  const { x, y, down, seen } = state.pen;
  if (seen && document.activeElement === ink) {
    context.setLineDash([]);
    context.strokeStyle = context.fillStyle = colour("--accent");
    context.lineWidth = 3 * scale;
    context.beginPath();
    context.arc(x * scale, y * scale, 12 * scale, 0, 2 * Math.PI);
    if (down) context.fill(); else context.stroke();
  }
}

const isEmpty = () => !state.strokes.length && !state.picture;

function changed() {
  if (isEmpty()) show(null);
  paint();
  ask();
}

/* ---- drawing ---- */

const penWidth = () => Number($("width").value);

function place(event) {
  const area = ink.getBoundingClientRect(), scale = UNITS / area.width;
  return [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
}

function begin(point) {
  if (state.picture) empty();
  state.strokes.push({ width: penWidth(), points: [point] });
  changed();
}

function extend(points) {
  state.strokes[state.strokes.length - 1].points.push(...points);
  changed();
}

let drawing = null;   // the pointer that draws; a second finger is ignored
ink.addEventListener("pointerdown", (event) => {
  if (!state.model.like_mnist) { $("file").click(); return; }
  if (drawing !== null || event.button !== 0) return;
  drawing = event.pointerId;
  ink.setPointerCapture(drawing);
  state.pen.seen = state.pen.down = false;
  begin(place(event));
});
ink.addEventListener("pointermove", (event) => {
  if (event.pointerId !== drawing) return;
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  extend((events.length ? events : [event]).map(place));
});
for (const name of ["pointerup", "pointercancel"]) {
  ink.addEventListener(name, (event) => { if (event.pointerId === drawing) drawing = null; });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
ink.addEventListener("keydown", (event) => {
  const pen = state.pen, arrow = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || !state.model.like_mnist) return;
  if (arrow) {
    const step = event.shiftKey ? 4 : 14;
    pen.x = Math.min(Math.max(pen.x + arrow[0] * step, 0), UNITS);
    pen.y = Math.min(Math.max(pen.y + arrow[1] * step, 0), height());
    pen.seen = true;
    if (pen.down) extend([[pen.x, pen.y]]); else paint();
  } else if (event.key === " ") {
    pen.down = !pen.down;
    pen.seen = true;
    if (pen.down) begin([pen.x, pen.y]); else paint();
  } else {
    return;
  }
  event.preventDefault();
});
for (const name of ["focus", "blur"]) ink.addEventListener(name, paint);

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") undo();
  else if (event.key === "Escape") clear();
  else return;
  event.preventDefault();
});

/* Whatever is being drawn ends: the next points begin a stroke of their own, or none. */
function lift() {
  drawing = null;
  state.pen.down = false;
}

function clear() {
  lift();
  empty();
}

function empty() {
  if (isEmpty()) return;
  state.cleared = { strokes: state.strokes, picture: state.picture };
  state.strokes = [];
  state.picture = null;
  changed();
}

function undo() {
  lift();
  if (state.strokes.length) state.strokes.pop();
  else if (state.picture) state.picture = null;
  else if (state.cleared) { Object.assign(state, state.cleared); state.cleared = null; }
  changed();
}

/* ---- pictures ---- */

async function usePicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    notify("This file is no picture that the browser can open.");
    return;
  }
  const scale = Math.min(1, PICTURE_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  clear();
  state.picture = { bitmap, blob, sentWidth: canvas.width };
  changed();
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files.length) usePicture($("file").files[0]);
  $("file").value = "";
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) usePicture(file);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) usePicture(event.dataTransfer.files[0]);
});

/* ---- asking: one request at a time; a change in the meantime makes the next one ---- */

let asking = false, again = false;

function drawn() {
  if (state.picture) return state.picture.blob;
  const canvas = document.createElement("canvas"), scale = SENT_WIDTH / UNITS;
  canvas.width = SENT_WIDTH;
  canvas.height = Math.max(1, Math.round(height() * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  paintStrokes(context, scale, "#000");
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

async function ask() {
  if (asking) { again = true; return; }
  asking = true;
  do {
    again = false;
    if (isEmpty()) break;
    try {
      const response = await fetch("/api/predict", { method: "POST", body: await drawn() });
      const answer = await response.json();
      if (response.status === 429) { await pause(1000); again = true; }
      else if (response.status === 401) { await look(); }
      else if (!response.ok) { notify(answer.detail); if (!again) show(null); }
      else if (!isEmpty()) { notify(trouble); show(answer); if (championOf(answer) !== state.champion) look(); }
    } catch {
      notify("The app does not answer. Is `make serve` still running?");
    }
  } while (again);
  asking = false;
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/* ---- the answer ---- */

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function show(answer) {
  state.answer = answer;
  const digits = answer ? answer.predictions : [];
  if (state.selected >= digits.length) state.selected = 0;
  const text = digits.map((digit) => digit.label).join("");
  $("number").className = text.length > 8 ? "long" : "";
  $("number").replaceChildren(...digits.map((digit) => {
    const span = document.createElement("span");
    span.textContent = digit.label;
    span.className = digit.doubtful ? "doubtful" : "";
    return span;
  }));
  if (!digits.length) $("number").textContent = "\u00a0";
  $("digits").replaceChildren(...digits.map(chip));
  showShares();
  showDoubt(digits);
  speak(digits);
  paintAgain();
}

function paintAgain() {
  const context = marks.getContext("2d");
  context.clearRect(0, 0, marks.width, marks.height);
  paintMarks(marks.width / UNITS);
}

function chip(digit, index) {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  button.type = "button";
  button.className = digit.doubtful ? "digit doubtful" : "digit";
  button.setAttribute("aria-pressed", String(index === state.selected));
  button.setAttribute("aria-label",
    `${state.model.like_mnist ? `Digit ${index + 1}: ` : ""}${digit.label}, ${percent(digit.confidence)}${digit.doubtful ? ", doubtful" : ""}`);
  button.title = `The ${digit.pixels.length} by ${digit.pixels[0].length} pixels that the model saw`;
  paintPixels(canvas, digit.pixels);
  button.append(canvas, percent(digit.confidence));
  button.addEventListener("click", () => {
    state.selected = index;
    [...$("digits").children].forEach((other, i) =>
      other.setAttribute("aria-pressed", String(i === index)));
    showShares();
  });
  return button;
}

function paintPixels(canvas, pixels) {
  canvas.height = pixels.length;
  canvas.width = pixels[0].length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  pixels.flat().forEach((pixel, i) => {
    const [red, green, blue] = Array.isArray(pixel) ? pixel : [pixel, pixel, pixel];
    image.data.set([red, green, blue, 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
}

function makeShares() {
  $("shares").replaceChildren();
  const rows = Math.min(SHOWN_CLASSES, state.model.class_names.length);
  for (let row = 0; row < rows; row++) addShare();
}

function addShare() {
  const row = document.createElement("li");
  for (const name of ["name", "track", "share"]) {
    const part = document.createElement("span");
    part.className = name;
    row.append(part);
  }
  const bar = document.createElement("div");
  bar.className = "bar";
  row.children[1].append(bar);
  $("shares").append(row);
}

/* The classes in their order, or the most probable first if there are too many for the page. */
function shownClasses(digit) {
  const all = [...state.model.class_names.keys()];
  if (all.length > SHOWN_CLASSES && digit)
    all.sort((one, other) => digit.probabilities[other] - digit.probabilities[one]);
  return all.slice(0, SHOWN_CLASSES);
}

function showShares() {
  const digit = state.answer && state.answer.predictions[state.selected];
  const several = state.answer && state.answer.predictions.length > 1;
  $("shares-title").textContent =
    several ? `Probabilities of digit ${state.selected + 1}` : "Probabilities";
  const classes = shownClasses(digit);
  [...$("shares").children].forEach((row, i) => {
    const index = classes[i], share = digit ? digit.probabilities[index] : 0;
    row.className = digit && index === digit.digit ? "first" : "";
    row.querySelector(".name").textContent = state.model.class_names[index];
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.querySelector(".share").textContent = digit ? percent(share) : "–";
  });
}

function showDoubt(digits) {
  const doubtful = digits.some((digit) => digit.doubtful);
  $("doubt").hidden = !doubtful;
  if (doubtful) {
    if (!state.model.like_mnist) $("doubt").textContent = "Uncertain.";
    else $("doubt").textContent = digits.length > 1
      ? "The dashed ones are uncertain; digits that touch are taken for one."
      : "Uncertain. Digits that touch are taken for one: leave a gap between them.";
  }
}

/* A screen reader announces the number once it is stable, not at every stroke. */
let speaking;
function speak(digits) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    $("spoken").textContent = digits.length
      ? `Reads ${digits.map((digit) => digit.label).join(" ")}, least certain ` +
        percent(Math.min(...digits.map((digit) => digit.confidence)))
      : "";
  }, 700);
}

/* ---- the champion ---- */

let trouble = "";

function notify(text) {
  $("notice").hidden = !text;
  // The app's messages put what the user can type in backquotes.
  $("notice").replaceChildren(...text.split("`").map((part, i) => {
    const element = document.createElement(i % 2 ? "code" : "span");
    element.textContent = part;
    return element;
  }));
}

async function look() {
  try {
    const response = await fetch("/healthz"), health = await response.json();
    if (response.status === 401) {
      notify(trouble = "The app asks for its token again. Reload the page.");
      return;
    }
    if (championOf(health) !== state.champion) await welcome(championOf(health));
    const still = health.version === null ? "" : `; version ${health.version} stays in use`;
    const problem = health.problem ? health.problem + still : "";
    if (problem !== trouble) notify(trouble = problem);
  } catch {
    trouble = "The app does not answer. Is `make serve` still running?";
    notify(trouble);
  }
}

/* What distinguishes champions: two registered models may have versions of the same number. */
const championOf = ({ name, version }) => version === null ? null : `${version} of ${name}`;

async function welcome(champion) {
  if (champion === null) {
    $("champion").textContent = "No champion yet";
    state.champion = null;
    return;
  }
  const info = await (await fetch("/api/model")).json();
  const tested = info.test_accuracy === null ? "" :
    `, ${(100 * info.test_accuracy).toFixed(2)} % of the test images right`;
  $("champion").textContent =
    `Version ${info.version}, ${info.parameters.toLocaleString("en")} weights${tested}`;
  $("card-box").hidden = !info.card;
  $("card").textContent = info.card;
  state.champion = championOf(info);
  useModel(info);
  if (!isEmpty()) ask();
}

/* Digits are drawn; whatever else a model classifies comes as a picture. */
function useModel(info) {
  const drawn = info.like_mnist;
  state.model = info;
  if (!drawn) { lift(); state.strokes = []; }
  document.title = document.querySelector("h1").textContent =
    drawn ? "Draw a number" : "Show a picture";
  $("hint").textContent = drawn ? "Draw one digit, or several side by side"
    : "Choose, paste or drop a picture";
  $("how").textContent = drawn
    ? "A picture can also be pasted or dropped here. With the keyboard: arrow keys move the pen, " +
      "Space puts it down and lifts it, Ctrl+Z undoes, Escape clears."
    : "The model sees the whole picture, fitted into its input. Escape clears.";
  $("pen").hidden = !drawn;
  $("shares").className = info.class_names.some((name) => name.length > 2) ? "named" : "";
  ink.setAttribute("aria-label", drawn ? "Drawing sheet" : "Picture");
  $("digits").setAttribute("aria-label", drawn ? "Digits from left to right" : "What the model saw");
  show(null);
  makeShares();
  showShares();
}

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
window.addEventListener("resize", changed);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
makeShares();
showShares();
paint();
look();
setInterval(() => { if (!document.hidden) look(); }, POLL_MILLISECONDS);
