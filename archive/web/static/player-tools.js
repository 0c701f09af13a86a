// What the player can do beside playing: a passage again and again, silence left out, the two
// voices in balance, marks and masked places over the waveform, and going on where one stopped.
// Knows the <audio> element and the peaks; asks nothing of the server.

const QUIET = 0.02; // of full scale, in every channel
const LONGEST_PAUSE = 1.5; // seconds of silence that are still played
const LONG_BAR = 3; // seconds
const RESUME_FROM = 5; // seconds: a call barely begun begins anew

// -- a passage again and again: from, to, off ------------------------------------------------

export function loop(audio, button, mark, say, span) {
  let from = null;
  let to = null;
  function show() {
    button.setAttribute("aria-pressed", String(to !== null));
    button.dataset.step = to !== null ? "2" : from !== null ? "1" : "0";
    mark.hidden = from === null;
    if (from !== null) place(mark, from, to ?? from, span);
    say(to !== null ? "looping" : from !== null ? "from" : "off", from, to);
  }
  function press(at) {
    if (from === null) from = at;
    else if (to === null && Math.abs(at - from) >= 0.3) [from, to] = [Math.min(from, at), Math.max(from, at)];
    else from = to = null;
    show();
  }
  audio.addEventListener("timeupdate", () => {
    if (to !== null && !audio.paused && audio.currentTime >= to) audio.currentTime = from;
  });
  return { press, contains: (at) => to !== null && at >= from && at <= to };
}

// -- silence ---------------------------------------------------------------------------------

export function silences(peaks, duration) {
  // [from, to) in seconds where every channel is quiet for longer than a breath.
  const points = Math.max(...peaks.map((channel) => channel.length));
  const each = duration / points;
  const found = [];
  let since = null;
  for (let n = 0; n <= points; n++) {
    const quiet = n < points && peaks.every((channel) => Math.abs(channel[n] ?? 0) < QUIET);
    if (quiet) since ??= n;
    else if (since !== null) {
      if ((n - since) * each > LONGEST_PAUSE) found.push([since * each + 0.5, n * each - 0.3]);
      since = null;
    }
  }
  return found.filter(([from, to]) => to > from);
}

export function skipSilence(audio, pauses, wanted) {
  audio.addEventListener("timeupdate", () => {
    if (!wanted() || audio.paused) return;
    const at = audio.currentTime;
    const pause = pauses().find(([from, to]) => at >= from && at < to - 0.2);
    if (pause) audio.currentTime = pause[1];
  });
}

// -- balance -----------------------------------------------------------------------------------

export function balance(audio) {
  // Both voices in both ears, each as loud as wanted: -1 the first alone, 1 the second alone.
  // The graph is made by the first change, so that a call nobody balances is played untouched.
  let gains = null;
  function make() {
    const context = new AudioContext();
    const split = context.createChannelSplitter(2);
    const merge = context.createChannelMerger(1);
    gains = [context.createGain(), context.createGain()];
    context.createMediaElementSource(audio).connect(split);
    gains.forEach((gain, n) => { split.connect(gain, n); gain.connect(merge, 0, 0); });
    merge.connect(context.destination);
    audio.addEventListener("play", () => context.resume());
    context.resume();
  }
  return (to) => {
    if (gains === null && to === 0) return;
    if (gains === null) make();
    gains[0].gain.value = Math.min(1, 1 - to);
    gains[1].gain.value = Math.min(1, 1 + to);
  };
}

// -- the shape of a long call ----------------------------------------------------------------

export function outline(channel, bars, duration) {
  // The loudest moment of each bar says nothing once a bar is long: somebody speaks in each. Then a
  // bar is as high as the voice is loud on the whole, which shows who speaks when.
  const each = channel.length / bars;
  if (duration < LONG_BAR * bars || each <= 1) return channel;
  return Array.from({ length: bars }, (_, n) => {
    const of = channel.slice(Math.floor(n * each), Math.floor((n + 1) * each));
    return of.reduce((sum, peak) => sum + Math.abs(peak), 0) / of.length;
  });
}

// -- over the waveform -----------------------------------------------------------------------

export function place(element, from, to, { first, last }) {
  element.style.left = `${(100 * (from - first)) / (last - first)}%`;
  element.style.width = `${(100 * Math.max(0, to - from)) / (last - first)}%`;
}

// -- where one stopped -----------------------------------------------------------------------

export function resume(audio, id, duration) {
  // Kept in this tab alone, by the recording's random id, and gone with the tab.
  const key = `stopped:${id}`;
  let kept = 0;
  try { kept = Number(sessionStorage.getItem(key)) || 0; } catch { /* not kept, then */ }
  const note = () => {
    const at = audio.currentTime;
    try {
      if (at > RESUME_FROM && at < duration - 2) sessionStorage.setItem(key, at.toFixed(1));
      else if (!audio.paused || audio.ended) sessionStorage.removeItem(key);
    } catch { /* not kept, then */ }
  };
  audio.addEventListener("timeupdate", note);
  audio.addEventListener("ended", note);
  return kept > RESUME_FROM && kept < duration - 2 ? kept : null;
}
