// The player of one call. The <audio> element asks an opening's address for ranges; the waveform
// is drawn from peaks that were made beforehand, so no audio is fetched to draw it. The opening is
// made by the first press of Play: nothing is opened, and nothing plays, by itself.

import { isForPage } from "./app.js";
import { Pair, asDrawn, laid } from "./legs.js";
import * as tools from "./player-tools.js";
import { follow } from "./transcript.js";

const root = document.querySelector("[data-player]");
const say = root.dataset;
const form = root.querySelector("form");
const span = { first: Number(say.firstS), last: Number(say.lastS) }; // of the call, in seconds
const alone = root.querySelector("[data-audio]");
const pair = say.otherOpen ? asPair() : null;
const audio = pair ?? alone;
const toggle = root.querySelector("[data-toggle]");
const seek = root.querySelector("[data-seek]");
const now = root.querySelector("[data-now]");
const status = root.querySelector("[data-status]");
const heard = root.querySelector("[data-told]"); // what is told to whoever does not see the player
const speed = root.querySelector("[data-speed]");
const calm = status.textContent; // what the status says when there is nothing else to say
let pauses = []; // silent stretches, once the peaks are there
let opening = null; // the request under way, or done, for an opening
let renewed = 0; // how often an opening was renewed since something last played

// -- time ---------------------------------------------------------------------------------

function clock(seconds) {
  if (seconds < 0) return `−${clock(-Math.floor(seconds))}`; // before this side of the call began
  const whole = Math.floor(seconds);
  const s = String(whole % 60).padStart(2, "0");
  const m = Math.floor(whole / 60) % 60;
  const h = Math.floor(whole / 3600);
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

const unit = (name) => new Intl.NumberFormat(say.lang, { style: "unit", unit: name, unitDisplay: "long" });
const hours = unit("hour");
const minutes = unit("minute");
const seconds = unit("second");

function spoken(at) {
  if (at < 0) return `−${spoken(-Math.floor(at))}`;
  const whole = Math.floor(at);
  const h = Math.floor(whole / 3600);
  const m = Math.floor(whole / 60) % 60;
  return (h ? `${hours.format(h)} ` : "") + (m ? `${minutes.format(m)} ` : "") + seconds.format(whole % 60);
}

function showTime() {
  now.textContent = clock(audio.currentTime);
  if (document.activeElement !== seek || !seek.matches(":active")) seek.value = String(audio.currentTime);
  seek.setAttribute("aria-valuetext", spoken(audio.currentTime));
}

// -- opening ------------------------------------------------------------------------------

async function ask(where) {
  return fetch(where, {
    method: "POST",
    headers: { Accept: "application/json" },
    body: new URLSearchParams(new FormData(form)),
  });
}

async function askForOpening() {
  const answer = await ask(say.open);
  const body = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : {};
  if (body.page) { location.assign(body.page); return new Promise(() => {}); }
  if (answer.status === 401 || answer.redirected) { location.reload(); return new Promise(() => {}); }
  if (!answer.ok || !body.url) throw new Error(String(answer.status));
  return body.url;
}

async function askForTheOther() {
  // null where it is gone, or not this person's to open any more: the page itself may stay.
  const answer = await ask(say.otherOpen);
  if ([403, 404, 410].includes(answer.status)) return null;
  const body = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : {};
  if (!answer.ok || !body.url) throw new Error(String(answer.status));
  return body.url;
}

function asPair() {
  const own = { audio: alone, starts: 0, lasts: Number(say.lastsS), upper: say.upper === "1", ask: askForOpening, own: true };
  const other = {
    audio: root.querySelector("[data-other-audio]"), starts: Number(say.otherStartsS), lasts: Number(say.otherLastsS),
    upper: say.upper !== "1", ask: askForTheOther, own: false,
  };
  return new Pair([own, other], span);
}

pair?.addEventListener("lost", () => { status.textContent = say.lost; status.classList.add("bad"); });

async function open() {
  if (pair) { await pair.open(); return; }
  opening ??= askForOpening();
  const url = await opening;
  if (audio.getAttribute("src") === url) return;
  const at = audio.currentTime || Number(seek.value) || 0;
  audio.src = url;
  audio.playbackRate = Number(speed.value);
  if (at > 0) audio.currentTime = at;
}

function fail() {
  opening = null;
  status.textContent = say.failed;
  status.classList.add("bad");
  toggle.textContent = say.play;
}

async function play() {
  try {
    await open();
    await audio.play();
  } catch (error) {
    if (error.name !== "AbortError") fail();
  }
}

const pressed = () => { if (audio.paused) play(); else audio.pause(); };

audio.addEventListener("error", () => {
  // An opening ends when it is not used for a quarter of an hour: ask for another, once.
  if (!audio.getAttribute("src")) return;
  opening = null;
  if (renewed++ < 1) play(); else fail();
});
audio.addEventListener("playing", () => { renewed = 0; });

// -- controls -----------------------------------------------------------------------------

function moveTo(at) {
  const place = Math.min(Math.max(span.first, at), span.last);
  if (pair || audio.getAttribute("src")) { audio.currentTime = place; return; }
  seek.value = String(place);
  now.textContent = clock(place);
  seek.setAttribute("aria-valuetext", spoken(place));
}
const place = () => (pair || audio.getAttribute("src") ? audio.currentTime : Number(seek.value));
const skip = (by) => moveTo(place() + by);

function step(by) { // one speed slower or faster
  speed.selectedIndex = Math.min(Math.max(0, speed.selectedIndex + by), speed.options.length - 1);
  audio.playbackRate = Number(speed.value);
  heard.textContent = say.faster.replace("{speed}", speed.selectedOptions[0].text);
}

form.addEventListener("submit", (event) => { event.preventDefault(); pressed(); });
root.querySelectorAll("[data-skip]").forEach((button) => {
  button.addEventListener("click", () => skip(Number(button.dataset.skip)));
});
seek.disabled = false;
seek.addEventListener("input", () => moveTo(Number(seek.value)));
seek.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: -5, ArrowRight: 5, PageDown: -30, PageUp: 30, ArrowDown: -5, ArrowUp: 5 };
  if (event.key in moves) { event.preventDefault(); skip(moves[event.key] * (event.shiftKey ? 3 : 1)); }
});
speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
const volume = root.querySelector("[data-volume]");
function loudness() {
  audio.volume = Number(volume.value);
  volume.setAttribute("aria-valuetext", `${Math.round(Number(volume.value) * 100)} %`);
}
volume.addEventListener("input", loudness);
loudness();
audio.preservesPitch = true;
audio.addEventListener("timeupdate", showTime);
audio.addEventListener("seeking", showTime);
const tell = (words) => { heard.textContent = words.replace("{at}", spoken(audio.currentTime)); };
audio.addEventListener("play", () => {
  toggle.textContent = say.pause;
  if (status.textContent !== say.lost) status.classList.remove("bad");
  tell(say.playing);
});
audio.addEventListener("pause", () => { toggle.textContent = say.play; tell(audio.ended ? say.ended : say.paused); });

// -- tools --------------------------------------------------------------------------------

function told(what, from, to) {
  status.textContent = what === "off" ? calm
    : say[what === "from" ? "loopFrom" : "looping"].replace("{from}", clock(from)).replace("{to}", clock(to ?? from));
}
const loopMark = root.querySelector("[data-loop-mark]");
const loopButton = root.querySelector("[data-loop]");
const loop = tools.loop(audio, loopButton, loopMark, told, span);
loopButton.addEventListener("click", () => loop.press(place()));

const quiet = root.querySelector("[data-silence]");
function toggleSilence() {
  const out = quiet.getAttribute("aria-pressed") !== "true";
  quiet.setAttribute("aria-pressed", String(out));
  heard.textContent = out ? say.silenceOut : say.silenceIn;
}
quiet.addEventListener("click", toggleSilence);
tools.skipSilence(audio, () => pauses, () => quiet.getAttribute("aria-pressed") === "true" && !loop.contains(audio.currentTime));

const balance = root.querySelector("[data-balance]");
const weigh = pair ? (to) => pair.balance(to) : tools.balance(audio);
function lean(to) {
  balance.value = String(Math.min(1, Math.max(-1, to)));
  balance.setAttribute("aria-valuetext", Number(balance.value) === 0 ? say.even : `${Math.round(Math.abs(balance.value) * 100)} % ${Number(balance.value) < 0 ? say.first : say.second}`);
  weigh(Number(balance.value));
}
balance?.addEventListener("input", () => lean(Number(balance.value)));
if (balance) balance.setAttribute("aria-valuetext", say.even);

root.querySelectorAll("[data-from]").forEach((mark) => {
  tools.place(mark, Number(mark.dataset.from), Number(mark.dataset.to || mark.dataset.from), span);
});

const transcript = follow(audio, () => place(), (at) => moveTo(at));

function again() { skip(-5); step(-1); }

document.addEventListener("keydown", (event) => {
  if (!isForPage(event)) return;
  const onButton = event.target.closest?.("button, a, summary, input[type=checkbox]");
  const far = event.shiftKey ? 15 : 5;
  const keys = {
    " ": () => { if (onButton && onButton !== toggle && !onButton.matches("[data-go]")) return false; pressed(); return true; },
    ArrowLeft: () => { skip(-far); return true; },
    ArrowRight: () => { skip(far); return true; },
    ",": () => { step(-1); return true; },
    ".": () => { step(1); return true; },
    r: () => { again(); return true; },
    l: () => { loop.press(place()); return true; },
    s: () => { toggleSilence(); return true; },
    a: () => { if (!balance) return false; lean(Number(balance.value) - 0.25); return true; },
    d: () => { if (!balance) return false; lean(Number(balance.value) + 0.25); return true; },
    k: () => transcript.step(-1),
    j: () => transcript.step(1),
    Home: () => { moveTo(span.first); return true; },
    End: () => { moveTo(span.last); return true; },
  };
  if (event.target.type === "range" && event.key !== " ") return;
  if (event.key in keys && keys[event.key]()) event.preventDefault();
});

// -- the waveform ---------------------------------------------------------------------------

async function draw() {
  const wanted = [say.peaks, ...(pair ? [say.otherPeaks] : [])];
  const [{ default: WaveSurfer }, ...found] = await Promise.all([import(say.wave), ...wanted.map((where) => fetch(where))]);
  if (!found.every((each) => each.ok)) return;
  const drawn = await Promise.all(found.map((each) => each.json()));
  const peaks = pair ? laid(drawn, pair.legs, span) : drawn[0].peaks;
  const duration = span.last - span.first;
  pauses = tools.silences(peaks, duration).map((stretch) => stretch.map((at) => at + span.first));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const waves = ["--agent", "--customer"].map(colour);
  const container = root.querySelector("[data-waveform]");
  const height = peaks.length > 1 ? 38 : 64;
  const surfer = WaveSurfer.create({
    container,
    media: pair ? asDrawn(pair, span) : audio,
    peaks: peaks.map((channel) => tools.outline(channel, Math.max(1, Math.floor(container.clientWidth / 3)), duration)),
    duration,
    height,
    cspNonce: say.nonce,
    cursorColor: colour("--ink"),
    cursorWidth: 1,
    barWidth: 2,
    barGap: 1,
    barRadius: 1,
    normalize: true,
    dragToSeek: true,
    hideScrollbar: true,
    splitChannels: peaks.map((_, n) => ({
      height,
      waveColor: `color-mix(in srgb, ${waves[n % 2]} 45%, transparent)`,
      progressColor: waves[n % 2],
    })),
  });
  surfer.on("interaction", (at) => moveTo(at + span.first));
  surfer.on("redrawcomplete", () => { container.dataset.drawn = "true"; });
}

showTime();
draw().catch(() => { root.querySelector(".waves").hidden = true; });

// Marks of a case: "starts here", "ends here", and the way to one that was made.
function mark(button) {
  document.getElementById(button.dataset.mark).value = clock(place());
}
document.querySelectorAll("[data-marking]").forEach((row) => { row.hidden = false; });
document.querySelectorAll("[data-mark]").forEach((button) => button.addEventListener("click", () => mark(button)));
document.querySelectorAll("[data-go]").forEach((link) => {
  link.addEventListener("click", (event) => { event.preventDefault(); moveTo(Number(link.dataset.go)); });
});
document.addEventListener("keydown", (event) => {
  const first = document.querySelector("[data-mark]");
  if (event.key !== "m" || !first || !isForPage(event)) return;
  event.preventDefault();
  mark(first);
  document.querySelector("[data-said]").focus();
});

// A link to a moment, #t=243: the player stands there and waits.
const linked = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
const stopped = tools.resume(audio, say.id, span.last);
if (linked) moveTo(Number(linked[1]));
else if (stopped !== null) {
  moveTo(stopped);
  status.textContent = say.resumed.replace("{at}", clock(stopped));
}
