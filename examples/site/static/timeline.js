// A canvas with one thin line for each call, from its start to its end; those that wait grow.

const TOP = 8, BOTTOM = 30, LEFT = 4, RIGHT = 12;

// Neighbours differ a little, so that a thousand lines do not melt into one area.
const shade = (number) => Math.abs(Math.sin(number * 12.9898) * 43758.5453) % 1;

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear(0);
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear(calls) {
    this.calls = Array.from({length: calls}, () => ({start: null, end: null, failed: false}));
    this.now = 0;
    this.draw();
  }

  add([number, what, seconds]) {
    const call = this.calls[number];
    if (what === "start") call.start = seconds;
    else {
      call.end = seconds;
      call.failed = what === "error";
    }
    this.now = Math.max(this.now, seconds);
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const {clientWidth: width, clientHeight: height} = this.canvas;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const colour = (name) => getComputedStyle(this.canvas).getPropertyValue(name).trim();
    const end = Math.max(0.3, this.now * 1.02);
    const x = (seconds) => LEFT + (width - LEFT - RIGHT) * seconds / end;
    this.drawAxis(pen, x, end, width, height, colour);
    this.drawCalls(pen, x, height, colour);
  }

  drawAxis(pen, x, end, width, height, colour) {
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((each) => end / each <= width / 75) ?? 30;
    pen.font = "12px " + colour("--sans");
    pen.lineWidth = 1;
    for (let i = 0; i * step <= end; i++) {
      const at = Math.round(x(i * step)) + 0.5;
      pen.strokeStyle = colour("--line");
      pen.beginPath();
      pen.moveTo(at, TOP);
      pen.lineTo(at, height - BOTTOM + 6);
      pen.stroke();
      pen.fillStyle = colour("--soft");
      pen.textAlign = i === 0 ? "left" : x(i * step) > width - 40 ? "right" : "center";
      const ms = Math.round(i * step * 1000);
      pen.fillText(step < 1 ? ms + " ms" : ms / 1000 + " s", at, height - 8);
    }
  }

  drawCalls(pen, x, height, colour) {
    const gradient = pen.createLinearGradient(0, TOP, 0, height - BOTTOM);
    gradient.addColorStop(0, colour("--thread-a"));
    gradient.addColorStop(1, colour("--thread-b"));
    const row = (height - TOP - BOTTOM) / Math.max(1, this.calls.length);
    pen.lineWidth = Math.min(8, Math.max(0.55, row * 0.72));
    for (const [number, call] of this.calls.entries()) {
      if (call.start === null) continue;
      const y = TOP + (number + 0.5) * row;
      pen.strokeStyle = call.failed ? "#d9483b" : gradient;
      pen.globalAlpha = (call.end === null ? 0.4 : 0.62) + 0.38 * shade(number);
      pen.beginPath();
      pen.moveTo(x(call.start), y);
      pen.lineTo(Math.max(x(call.end ?? this.now), x(call.start) + 1), y + 0.001);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
}
