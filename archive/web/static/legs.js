// Two one-channel recordings of a call, heard as one of two channels. To the player a Pair is what
// one <audio> element is to it: it plays, pauses, seeks and tells the time. Each recording has its
// own opening, with its own check and its own entry in the log. The longer one keeps the time.
// Times are of the side that the page is about, so those of the other may be below zero.

const TICK_MS = 100;
const APART_S = 0.02; // less than anybody hears
const FAR_S = 0.25; // caught up by a jump; what is less, by going a little faster or slower
const WIDE = 0.5; // how far to its own side each voice sounds

const within = (value, least, most) => Math.min(Math.max(least, value), most);

export class Pair extends EventTarget {
  // legs: { audio, starts, lasts, upper, ask, own }, the page's own one first. `ask` gives the
  // address of an opening, or null where there is none to be had any more.
  constructor(legs, { first, last }) {
    super();
    this.legs = legs;
    this.first = first;
    this.last = last;
    this.at = Math.max(0, first);
    this.wanted = false; // whether it is to play
    this.over = false;
    this.rate = 1;
    this.loud = 1;
    this.lean = 0;
    this.gains = null;
    for (const leg of legs) {
      leg.opened = null;
      leg.failures = 0;
      leg.audio.preservesPitch = true;
      leg.audio.addEventListener("error", () => this.#failed(leg));
      leg.audio.addEventListener("ended", () => this.#tick());
      leg.audio.addEventListener("playing", () => { leg.failures = 0; this.#tell("playing"); });
    }
  }

  // -- what the player asks of an <audio> element --

  get paused() { return !this.wanted; }
  get ended() { return this.over; }
  get duration() { return this.last; }
  get readyState() { return 4; }
  get muted() { return false; }
  get src() { return ""; }
  get currentSrc() { return ""; }
  getAttribute(name) { return name === "src" && this.legs[0].audio.getAttribute("src"); }

  get volume() { return this.loud; }
  set volume(to) { this.loud = to; this.#weigh(); }
  get playbackRate() { return this.rate; }
  set playbackRate(to) { this.rate = to; for (const leg of this.legs) leg.audio.playbackRate = to; }

  get currentTime() {
    const lead = this.wanted && this.#lead();
    return lead ? lead.audio.currentTime + lead.starts : this.at;
  }
  set currentTime(to) {
    this.at = within(to, this.first, this.last);
    this.over = false;
    for (const leg of this.legs) this.#put(leg);
    this.#tell("seeking");
    this.#tell("timeupdate");
    this.#tick();
  }

  async open() {
    // One press opens both. The other one may be gone meanwhile; then this side is heard alone.
    await Promise.all([...this.legs].map((leg) => (leg.opened ??= this.#open(leg))));
  }

  async play() {
    if (this.over || this.at >= this.last) this.currentTime = this.first;
    this.wanted = true;
    this.#tell("play");
    await this.#spread();
    if (!this.wanted) return; // stopped again meanwhile
    this.timer ??= setInterval(() => this.#tick(), TICK_MS);
    try {
      await Promise.all(this.legs.filter((leg) => this.#sounds(leg)).map((leg) => this.#start(leg)));
    } catch (error) {
      this.pause();
      throw error;
    }
  }

  pause() {
    this.at = this.currentTime;
    if (!this.wanted) return;
    this.wanted = false;
    clearInterval(this.timer);
    this.timer = null;
    for (const leg of this.legs) leg.audio.pause();
    this.#tell("pause");
  }

  balance(to) { // -1 the upper alone, 1 the lower alone
    this.lean = to;
    this.#weigh();
  }

  // -- both in step --

  #tell(name) { this.dispatchEvent(new Event(name)); }
  #lasts(leg) { return Number.isFinite(leg.audio.duration) ? leg.audio.duration : leg.lasts; }
  #sounds(leg) {
    const own = this.at - leg.starts;
    return own >= 0 && own < this.#lasts(leg) && !leg.audio.ended;
  }
  #lead() { return [...this.legs].sort((a, b) => b.lasts - a.lasts).find((leg) => this.#sounds(leg)); }

  #put(leg) { // its own place, or its edge where it is not heard
    const own = within(this.at - leg.starts, 0, leg.lasts);
    if (Math.abs(leg.audio.currentTime - own) > 0.001) leg.audio.currentTime = own;
  }

  async #start(leg) {
    this.#put(leg);
    try { await leg.audio.play(); } catch (error) {
      // What was interrupted is begun again by the next look; the other's failure is told by "error".
      if (leg.own && error.name !== "AbortError") throw error;
    }
  }

  #tick() {
    if (!this.wanted) return;
    const lead = this.#lead();
    if (lead) this.at = within(lead.audio.currentTime + lead.starts, this.first, this.last);
    if (!this.legs.some((leg) => this.#sounds(leg))) { this.#finish(); return; }
    const heard = this.legs.filter((leg) => this.#sounds(leg));
    // Whoever waits for bytes is waited for, but for its last moments, which have no future.
    const late = heard.filter((leg) => leg.audio.readyState < 3 && this.at - leg.starts < this.#lasts(leg) - 0.5);
    for (const leg of this.legs) {
      if (!heard.includes(leg) || (late.length && !late.includes(leg))) { leg.audio.pause(); continue; }
      if (leg.audio.paused) {
        if (leg !== lead) this.#put(leg);
        leg.audio.play().catch(() => {}); // its failure is told by "error"
      } else if (leg !== lead) this.#step(leg);
    }
    this.#tell("timeupdate");
  }

  #step(leg) {
    const ahead = leg.audio.currentTime - (this.at - leg.starts);
    if (leg.audio.seeking) return;
    if (Math.abs(ahead) > FAR_S) { this.#put(leg); leg.audio.playbackRate = this.rate; }
    else leg.audio.playbackRate = Math.abs(ahead) > APART_S ? this.rate * (1 - within(ahead, -0.05, 0.05)) : this.rate;
  }

  #finish() {
    this.at = this.last;
    this.over = true;
    this.wanted = false;
    clearInterval(this.timer);
    this.timer = null;
    for (const leg of this.legs) leg.audio.pause();
    this.#tell("timeupdate");
    this.#tell("pause");
    this.#tell("ended");
  }

  // -- openings --

  async #open(leg) {
    let url;
    try { url = await leg.ask(); } catch (error) { leg.opened = null; throw error; }
    if (url === null) { this.#lose(leg); return; }
    leg.audio.src = url;
    leg.audio.preload = "auto";
    leg.audio.playbackRate = this.rate;
    this.#put(leg);
  }

  #failed(leg) {
    // An opening ends when it is not used for a quarter of an hour: another is asked for, once.
    if (!leg.audio.getAttribute("src")) return;
    leg.opened = null;
    if (!leg.own && leg.failures++ > 0) this.#lose(leg);
    else this.#tell("error");
  }

  #lose(leg) { // what is left is this side, from its beginning to its end
    this.legs = this.legs.filter((each) => each !== leg);
    leg.audio.pause();
    leg.audio.removeAttribute("src");
    [this.first, this.last] = [0, this.legs[0].lasts];
    this.at = within(this.at, this.first, this.last);
    this.#tell("lost");
  }

  // -- loudness --

  async #spread() {
    // Each voice from its own side, as on two channels; where the browser has no means, or does
    // not let them run, from the middle.
    if (this.gains !== null) return;
    this.gains = new Map();
    try {
      const context = new AudioContext();
      await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 500))]);
      if (context.state !== "running") return;
      for (const leg of this.legs) {
        const gain = context.createGain();
        const side = new StereoPannerNode(context, { pan: leg.upper ? -WIDE : WIDE });
        context.createMediaElementSource(leg.audio).connect(gain).connect(side).connect(context.destination);
        this.gains.set(leg, gain.gain);
      }
      this.addEventListener("play", () => context.resume());
    } catch { /* from the middle, then */ }
    this.#weigh();
  }

  #weigh() {
    for (const leg of this.legs) {
      const own = Math.min(1, leg.upper ? 1 - this.lean : 1 + this.lean);
      const gain = this.gains?.get(leg);
      if (gain) gain.value = own;
      leg.audio.volume = gain ? this.loud : this.loud * own;
    }
  }
}

export function asDrawn(pair, { first, last }) {
  // The same for the waveform, whose times begin at zero.
  const seen = (name) => ({ get: () => pair[name] });
  return Object.defineProperties({
    addEventListener: pair.addEventListener.bind(pair),
    removeEventListener: pair.removeEventListener.bind(pair),
  }, {
    currentTime: { get: () => pair.currentTime - first, set: (to) => { pair.currentTime = to + first; } },
    duration: { get: () => last - first },
    ...Object.fromEntries(["paused", "ended", "readyState", "muted", "src", "currentSrc", "volume", "playbackRate"].map((name) => [name, seen(name)])),
  });
}

export function laid(found, legs, { first, last }) {
  // The waveforms of both on one timeline, the upper first: silent where a side is not.
  const each = Math.min(...found.map(({ peaks, duration }) => duration / peaks[0].length));
  const points = Math.max(1, Math.min(4000, Math.ceil((last - first) / each)));
  const row = ({ peaks: [peaks], duration }, { starts }) => Array.from({ length: points }, (_, n) => {
    const at = first + ((n + 0.5) * (last - first)) / points - starts;
    return at < 0 || at >= duration ? 0 : peaks[Math.min(peaks.length - 1, Math.floor((at * peaks.length) / duration))];
  });
  const rows = legs.map((leg, n) => row(found[n], leg));
  return legs[0].upper ? rows : rows.reverse();
}
