"use strict";
// The player, the timeline and the charts of one video. Data and texts come with the page.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const video = byId("video"), range = byId("seek"), lanes = byId("lanes"), playhead = byId("playhead");
  const FRAME_S = 1 / data.frame_rate;
  const CHART_PX = 170, MEAN_PX = 140, AXIS_PX = 66;
  const charts = []; // those that show time, as uPlot objects with a mark of their own

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function clock(time_s) {
    const tenths = Math.round(time_s * 10), minutes = Math.floor(tenths / 600), rest = tenths % 600;
    const start = minutes < 60 ? `${minutes}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
    return `${start}:${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
  }

  function offset(ms) {
    const size = Math.abs(Math.round(ms));
    return size === 0 ? "0 ms" : `${size} ms ${ms > 0 ? "early" : "late"}`;
  }

  // Where the video is: of the player, or of the page alone where there is no video.
  let position_s = 0, playable = true;
  // Where the player is to go, and the last place it was sent to. One seek at a time: Chromium may never
  // end seeks that overtake each other, and it ends a seek before it says so.
  let target_s = null, sent_s = null, waiting = false;

  function seek(time_s) {
    position_s = Math.min(Math.max(time_s, 0), data.duration_s);
    if (playable) target_s = position_s;
    if (playable && !video.seeking) send();
    show();
  }

  function send() {
    sent_s = target_s;
    video.currentTime = target_s;
  }

  function arrive() {
    if (video.seeking) return; // of a seek before this one
    if (target_s !== null && sent_s !== target_s) return send();
    target_s = null;
    if (waiting) play();
    waiting = false;
  }

  function play() {
    video.play().catch(() => {}); // paused again before it began
  }

  function playOrPause() {
    if (!playable) return;
    if (!video.paused) video.pause();
    else if (video.seeking) waiting = !waiting;
    else play();
  }

  function show() {
    const part = data.duration_s ? position_s / data.duration_s : 0;
    range.value = position_s;
    range.setAttribute("aria-valuetext", clock(position_s));
    byId("time").textContent = clock(position_s);
    byId("speaker").textContent = speakers();
    const lane = lanes.querySelector(".lane").getBoundingClientRect();
    playhead.style.left = `${lane.left - lanes.getBoundingClientRect().left + part * lane.width}px`;
    playhead.style.height = `${lanes.scrollHeight}px`;
    for (const { plot, mark } of charts) {
      const { min, max } = plot.scales.x;
      mark.hidden = position_s < min || position_s > max;
      mark.style.left = `${plot.valToPos(position_s, "x")}px`;
    }
  }

  function speakers() {
    const at = ([start_s, end_s]) => start_s <= position_s && position_s < end_s;
    const names = data.speech.filter(([, ...span]) => at(span)).map(([track]) => `track ${track}`);
    if (names.length) return `${names.join(" and ")} speak${names.length > 1 ? "" : "s"}`;
    return data.nobody.some(at) ? "somebody off screen speaks" : "";
  }

  function follow() {
    if (!playable || target_s !== null) return;
    position_s = video.currentTime;
    show();
    if (!video.paused && !video.ended) requestAnimationFrame(follow);
  }

  function unplayable() {
    playable = false;
    video.hidden = true;
    byId("no-video").hidden = false;
  }

  video.addEventListener("seeked", arrive);
  for (const event of ["play", "seeked", "timeupdate", "loadedmetadata"]) video.addEventListener(event, follow);
  video.addEventListener("error", unplayable);
  if (video.error) unplayable();
  range.addEventListener("input", () => seek(Number(range.value)));

  // Lanes: press and drag.
  function seekAt(event) {
    const box = lanes.querySelector(".lane").getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * data.duration_s);
  }
  lanes.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".label") || !event.target.closest(".lane") || event.button) return;
    seekAt(event);
    if (event.pointerType === "mouse") lanes.setPointerCapture(event.pointerId);
  });
  lanes.addEventListener("pointermove", (event) => {
    if (lanes.hasPointerCapture(event.pointerId)) seekAt(event);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.seek) seek(Number(button.dataset.seek));
    if (button?.classList.contains("copy")) copy(button);
  });

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(code); // Ctrl-C does the rest
    }
  }

  const KEYS = {
    ArrowLeft: () => seek(position_s - 1),
    ArrowRight: () => seek(position_s + 1),
    ",": () => seek(position_s - FRAME_S),
    ".": () => seek(position_s + FRAME_S),
    " ": playOrPause,
  };
  document.addEventListener("keydown", (event) => {
    const used = event.target.closest("button, summary, a, pre, video, input[type=checkbox]");
    if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (used && (event.key === " " || used === video)) return; // their own keys
    event.preventDefault();
    KEYS[event.key]();
  });

  // Charts, each drawn when it first comes into view.
  function axes(labels, values) {
    const line = { stroke: () => colour("faint"), grid: { stroke: () => colour("line"), width: 1 },
      ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return [
      { ...line, size: 24, space: 60, values: (_, ticks) => ticks.map(values) },
      { ...line, size: AXIS_PX, space: 28, values: (_, ticks) => ticks.map((value) => labels(value)) },
    ];
  }

  const offsetLabel = (ms) => `${ms > 0 ? "+" : ms < 0 ? "−" : ""}${Math.abs(ms)} ms`;
  const timeLabel = (time_s) => clock(time_s).replace(/\.0$/, "");

  function base(box, track, height) {
    return {
      width: box.clientWidth, height, legend: { show: false }, padding: [6, 20, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: `track ${track.track}` }, points: { show: false } },
      scales: { x: { time: false, range: [track.start_s, track.end_s] } },
    };
  }

  // Rectangle of the plot in canvas pixels for values of the scales.
  function fill(plot, low, high, style) {
    const { ctx, bbox } = plot, bottom = plot.valToPos(low, "y", true), top = plot.valToPos(high, "y", true);
    ctx.fillStyle = style;
    ctx.fillRect(bbox.left, Math.max(top, bbox.top), bbox.width, Math.min(bottom, bbox.top + bbox.height) - Math.max(top, bbox.top));
  }

  function level(plot, start_s, end_s, ms, style, dash) {
    const { ctx } = plot, y = plot.valToPos(ms, "y", true);
    ctx.save();
    ctx.strokeStyle = style;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(plot.valToPos(start_s, "x", true), y);
    ctx.lineTo(plot.valToPos(end_s, "x", true), y);
    ctx.stroke();
    ctx.restore();
  }

  function drawOffsets(box, track, output) {
    const sure = track.offsets_ms.map((ms, i) => (track.sure[i] ? ms : null));
    const unsure = track.offsets_ms.map((ms, i) => (track.sure[i] ? null : ms));
    const pieces = track.pieces.length ? track.pieces
      : track.reliable && track.offset_ms !== null ? [[track.start_s, track.end_s, track.offset_ms, true]] : [];
    const options = base(box, track, CHART_PX);
    options.scales.y = { range: track.range_ms };
    options.axes = axes(offsetLabel, timeLabel);
    options.series = [{},
      { stroke: () => colour("accent"), width: 2, points: { size: 4, fill: () => colour("accent") } },
      { paths: () => null, points: { show: true, size: 5, stroke: () => colour("faint"), fill: () => colour("faint") } }];
    options.hooks = {
      drawClear: [(plot) => fill(plot, ...data.unnoticed_ms, colour("good-paper"))],
      draw: [(plot) => {
        for (const [start_s, end_s, ms, reliable] of pieces) level(plot, start_s, end_s, ms, colour(reliable ? "good" : "unknown"), reliable ? [6, 4] : [2, 4]);
      }],
      setCursor: [(plot) => {
        const i = plot.cursor.idx;
        output.textContent = i === null || i === undefined ? ""
          : `${clock(track.times_s[i])}: ${offset(track.offsets_ms[i])}${track.sure[i] ? "" : ", not sure"}`;
      }],
    };
    return new uPlot(options, [track.times_s, sure, unsure], box);
  }

  // From none to best: dark blue, blue, teal, green, yellow; every step is lighter than the one before.
  const HEAT = [[24, 20, 52], [45, 62, 130], [33, 128, 141], [60, 184, 112], [253, 231, 76]];

  function heatPicture({ levels, rows, columns }) {
    const canvas = document.createElement("canvas"), bytes = atob(levels);
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d"), pixels = context.createImageData(columns, rows);
    for (let i = 0; i < bytes.length; i++) {
      const value = (bytes.charCodeAt(i) / 255) * (HEAT.length - 1), below = Math.min(Math.floor(value), HEAT.length - 2);
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = HEAT[below][c] + (value - below) * (HEAT[below + 1][c] - HEAT[below][c]);
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function drawHeat(box, track, output) {
    const picture = heatPicture(track.heat), { start_s, end_s } = track.heat;
    const low = track.mean.offsets_ms[0], high = -low, step = high / ((track.heat.rows - 1) / 2 || 1);
    const options = base(box, track, CHART_PX);
    options.scales.y = { range: [low - step / 2, high + step / 2] };
    options.axes = axes(offsetLabel, timeLabel);
    options.cursor.y = true;
    options.series = [{}, { paths: () => null, points: { show: false } }];
    options.hooks = {
      drawAxes: [(plot) => {
        const x = plot.valToPos(start_s, "x", true), y = plot.valToPos(high + step / 2, "y", true);
        plot.ctx.imageSmoothingEnabled = false;
        plot.ctx.drawImage(picture, x, y, plot.valToPos(end_s, "x", true) - x, plot.valToPos(low - step / 2, "y", true) - y);
      }],
      setCursor: [(plot) => {
        const { left, top } = plot.cursor;
        output.textContent = left < 0 || top < 0 ? "" : `${clock(plot.posToVal(left, "x"))}: ${offset(plot.posToVal(top, "y"))}`;
      }],
    };
    return new uPlot(options, [[track.start_s, track.end_s], [null, null]], box);
  }

  function drawMean(box, track, output) {
    const { offsets_ms, dists } = track.mean;
    const options = base(box, track, MEAN_PX);
    delete options.cursor.sync;
    const [low, high] = data.mean_range, edge = 0.06 * (high - low) || 1;
    options.scales = { x: { time: false }, y: { range: [low - edge, high + edge] } };
    options.axes = axes((value) => `${value}`, offsetLabel);
    options.series = [{}, { stroke: () => colour("accent"), width: 2, points: { show: true, size: 5, fill: () => colour("accent") } }];
    options.hooks = {
      setCursor: [(plot) => {
        const i = plot.cursor.idx;
        output.textContent = i === null || i === undefined ? "" : `${offset(offsets_ms[i])}: ${dists[i].toFixed(2)}`;
      }],
    };
    return new uPlot(options, [offsets_ms, dists], box);
  }

  const DRAW = { offsets: drawOffsets, heat: drawHeat, mean: drawMean };

  function draw(box) {
    const track = data.tracks[Number(box.closest(".track").dataset.track)];
    const plot = DRAW[box.dataset.chart](box, track, box.parentElement.querySelector("output"));
    resized.observe(box);
    plots.set(box, plot);
    if (box.dataset.chart === "mean") return;
    const mark = document.createElement("div");
    mark.className = "mark";
    plot.over.append(mark);
    charts.push({ plot, mark });
    plot.over.addEventListener("click", (event) => {
      seek(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x"));
    });
    show();
  }

  const plots = new Map();
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = plots.get(target);
      if (target.clientWidth && target.clientWidth !== plot.width) plot.setSize({ width: target.clientWidth, height: plot.height });
    }
    show();
  });
  const visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      visible.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "300px" });
  for (const box of document.querySelectorAll(".chart")) visible.observe(box);
  new ResizeObserver(show).observe(lanes);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const plot of plots.values()) plot.redraw(false);
  });

  byId("only-reliable")?.addEventListener("change", (event) => {
    document.body.classList.toggle("only-reliable", event.target.checked);
    show();
  });

  // The small faces of the timeline are those of the cards, so that the page holds them once.
  for (const small of document.querySelectorAll("a.label img")) {
    small.src = document.querySelector(`${small.closest("a").getAttribute("href")} .face`).src;
  }

  // A link to a track unfolds it.
  function unfold() {
    const card = /^#track-\d+$/.test(location.hash) && byId(location.hash.slice(1));
    if (card) { card.open = true; card.scrollIntoView(); }
  }
  addEventListener("hashchange", unfold);
  document.querySelectorAll("a.label").forEach((link) => link.addEventListener("click", () => setTimeout(unfold)));
  unfold();
  show();
})();
