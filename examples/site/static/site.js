// The page's four demonstrations. Each talks to one route of the application.

import {Timeline} from "/timeline.js";

const by = (id) => document.getElementById(id);
const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 23 ? 1 : 0)} MiB`;

// A thousand calls: lines of JSON as they come.

const timeline = new Timeline(by("timeline"));
const calls = Number(document.body.dataset.calls);

async function* jsonLines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

async function runCalls() {
  by("run").disabled = true;
  by("result").classList.remove("wrong");
  by("result").textContent = `Waiting for ${calls} answers ...`;
  timeline.clear(calls);
  let running = true;
  const redraw = () => {
    timeline.draw();
    if (running) requestAnimationFrame(redraw);
  };
  requestAnimationFrame(redraw);
  try {
    const response = await fetch("/fanout");
    for await (const event of jsonLines(response)) {
      if (Array.isArray(event)) timeline.add(event);
      else showOutcome(event);
    }
  } catch (error) {
    by("result").classList.add("wrong");
    by("result").textContent = `The run did not end: ${error.message}`;
  }
  running = false;
  by("run").disabled = false;
}

function showOutcome(outcome) {
  const claim = document.createElement("strong");
  claim.textContent = `${outcome.waited.toFixed(1)} s of waiting in ${seconds(outcome.seconds)}`;
  const how = outcome.at_once
    ? "at once, each blocking its own green thread alone"
    : "one after another, because no green threads run under this server";
  const failed = outcome.failed ? ` ${outcome.failed} failed.` : "";
  by("result").replaceChildren(claim, `${outcome.calls} calls ${how}.${failed}`);
  by("bars").hidden = !outcome.calls;
  by("bar-waited").textContent = seconds(outcome.waited);
  by("bar-took").textContent = seconds(outcome.seconds);
  by("bar-ours").style.width = `${Math.min(100, 100 * outcome.seconds / outcome.waited)}%`;
  by("timeline").setAttribute("aria-label",
    `Timeline of ${outcome.calls} calls that took ${seconds(outcome.seconds)} in all.`);
}

by("run").addEventListener("click", runCalls);

// The process: one event a second.

const SHOWN = 30;
const history = new Map();
let before = null;

function readings(now) {
  const passed = before ? now.clock - before.clock : 0;
  const rate = (key) => passed ? (now[key] - before[key]) / passed : 0;
  return {
    requests: [rate("requests"), (value) => Math.round(value).toLocaleString("en")],
    waiting: [now.waiting, (value) => value.toLocaleString("en")],
    descriptors: [now.descriptors, (value) => value.toLocaleString("en")],
    threads: [now.threads, String],
    memory: [now.memory, mib],
    cpu: [100 * rate("cpu"), (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`],
  };
}

function drawSpark(svg, values) {
  const most = Math.max(...values, 1e-9) * 1.15;
  const points = values.map((value, i) =>
    `${(100 * (i + SHOWN - values.length) / (SHOWN - 1)).toFixed(2)} ${(40 - 38 * value / most).toFixed(2)}`);
  const first = points[0].split(" ")[0];
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.innerHTML = `<path class="area" d="M${first} 40L${points.join("L")}L100 40Z"/>`
    + `<path class="edge" d="M${points.join("L")}"/>`;
}

new EventSource("/live").addEventListener("message", (event) => {
  const now = JSON.parse(event.data);
  for (const [key, [value, text]] of Object.entries(readings(now))) {
    const tile = document.querySelector(`[data-key=${key}]`);
    const values = [...history.get(key) ?? [], value].slice(-SHOWN);
    history.set(key, values);
    tile.querySelector("p").textContent = text(value);
    drawSpark(tile.querySelector("svg"), values);
  }
  before = now;
});

// Streams.

function upload(body) {
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (event) => {
    by("upload-progress").value = event.loaded / event.total;
  });
  request.addEventListener("load", () => {
    const {bytes, sha256, seconds: took, memory_growth: growth} = JSON.parse(request.response);
    by("upload-progress").value = 1;
    by("upload-result").textContent = `${mib(bytes)} in ${seconds(took)}, ${mib(bytes / took)}/s; `
      + `the process grew by ${mib(growth)}. SHA‑256 ${sha256.slice(0, 16)}`;
  });
  request.addEventListener("error", () => {
    by("upload-result").textContent = "The upload did not end.";
  });
  by("upload-progress").value = 0;
  by("upload-result").textContent = `Sending ${mib(body.size)} ...`;
  request.open("POST", "/upload");
  request.send(body);
}

by("upload").addEventListener("click", () => {
  const piece = crypto.getRandomValues(new Uint8Array(2 ** 16));
  upload(new Blob(Array.from({length: 1024}, () => piece)));
});
by("file").addEventListener("change", (event) => upload(event.target.files[0]));

by("download").addEventListener("click", async () => {
  const began = performance.now();
  const response = await fetch("/download");
  const total = Number(response.headers.get("Content-Length"));
  let received = 0;
  for await (const piece of response.body) {
    received += piece.length;
    by("download-progress").value = total ? received / total : 0;
  }
  by("download-progress").value = 1;
  const took = (performance.now() - began) / 1000;
  by("download-result").textContent =
    `${mib(received)} in ${seconds(took)}, ${mib(received / took)}/s.`;
});
