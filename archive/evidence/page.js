"use strict";
// The page of an evidence package, opened from a folder: plays, seeks, and checks the ZIP it came in.
// Reaches no network; the file that is chosen stays on this computer.

const words = document.getElementById("words").dataset;
const MANIFEST = "manifest.json";
const LARGE = 0xffffffff;
const MOST_AT_ONCE = 1 << 30;

// -- the ZIP, every byte of which follows from the signed manifest ---------------------------------

function little(...fields) {
  const out = [];
  for (const [bytes, value] of fields) {
    let rest = BigInt(value);
    for (let n = 0; n < bytes; n += 1) { out.push(Number(rest & 255n)); rest >>= 8n; }
  }
  return out;
}

function ascii(text) { return [...text].map((character) => character.charCodeAt(0)); }

function localHeader(name, length, crc) {
  const large = length >= LARGE;
  const extra = large ? little([2, 1], [2, 16], [8, length], [8, length]) : [];
  const shown = large ? LARGE : length;
  return [...little([4, 0x04034b50], [2, large ? 45 : 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc],
    [4, shown], [4, shown], [2, name.length], [2, extra.length]), ...ascii(name), ...extra];
}

function centralEntry(name, length, crc, offset) {
  const parts = [];
  if (length >= LARGE) { parts.push([8, length], [8, length]); }
  if (offset >= LARGE) { parts.push([8, offset]); }
  const extra = parts.length ? little([2, 1], [2, 8 * parts.length], ...parts) : [];
  const version = parts.length ? 45 : 20;
  const shown = Math.min(length, LARGE);
  return [...little([4, 0x02014b50], [2, (3 << 8) | version], [2, version], [2, 0x800], [2, 0], [2, 0], [2, 0x21],
    [4, crc], [4, shown], [4, shown], [2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0],
    [4, 0o100644 * 65536], [4, Math.min(offset, LARGE)]), ...ascii(name), ...extra];
}

function endRecord(count, start, length) {
  let end = [];
  if (count >= 0xffff || start >= LARGE || length >= LARGE) {
    end = little([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, length],
      [8, start], [4, 0x07064b50], [4, 0], [8, start + length], [4, 1]);
  }
  const few = Math.min(count, 0xffff);
  return [...end, ...little([4, 0x06054b50], [2, 0], [2, 0], [2, few], [2, few], [4, Math.min(length, LARGE)],
    [4, Math.min(start, LARGE)], [2, 0])];
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) { crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0); }
  }
  return (crc ^ -1) >>> 0;
}

// The one way in which a manifest is written: keys sorted, no blanks, ASCII.
function written(value) {
  if (Array.isArray(value)) { return `[${value.map(written).join(",")}]`; }
  if (value !== null && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${written(key)}:${written(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g,
    (c) => (c === "\u007f" ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

function unbase64(text, length) {
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  if (raw.length !== length || btoa(String.fromCharCode(...raw)) !== text) { throw new Error("base64"); }
  return raw;
}

async function digest(bytes, name = "SHA-256") {
  const raw = new Uint8Array(await crypto.subtle.digest(name, bytes));
  return [...raw].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -- Ed25519: the browser's own, else RFC 8032 in whole numbers ------------------------------------

async function holds(key, signature, message) {
  let own;
  try { own = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]); } catch { own = null; }
  return own ? crypto.subtle.verify("Ed25519", own, signature, message) : holdsByHand(key, signature, message);
}

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (a) => ((a % P) + P) % P;

function power(base, exponent) {
  let total = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n) { if (e & 1n) { total = mod(total * b); } b = mod(b * b); }
  return total;
}

const D = mod(-121665n * power(121666n, P - 2n));
const fromLittle = (bytes) => bytes.reduceRight((total, byte) => (total << 8n) | BigInt(byte), 0n);

function decompress(bytes) {
  const raw = fromLittle(bytes);
  const y = raw & ((1n << 255n) - 1n);
  if (y >= P) { return null; }
  const square = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square)) { x = mod(x * power(2n, (P - 1n) / 4n)); }
  if (mod(x * x - square) || (x === 0n && raw >> 255n)) { return null; }
  if ((x & 1n) !== raw >> 255n) { x = P - x; }
  return [x, y, 1n, mod(x * y)];
}

function add(a, b) {
  const [m, n] = [mod((a[1] - a[0]) * (b[1] - b[0])), mod((a[1] + a[0]) * (b[1] + b[0]))];
  const [s, t] = [mod(2n * a[3] * b[3] * D), mod(2n * a[2] * b[2])];
  const [e, f, g, h] = [n - m, t - s, t + s, n + m];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function times(number, point) {
  let total = [0n, 1n, 1n, 0n];
  for (let p = point, n = number; n > 0n; n >>= 1n) { if (n & 1n) { total = add(total, p); } p = add(p, p); }
  return total;
}

async function holdsByHand(key, signature, message) {
  const base = decompress(Uint8Array.from({ length: 32 }, (_, n) => (n ? 0x66 : 0x58)));
  const [point, r, s] = [decompress(key), decompress(signature.slice(0, 32)), fromLittle(signature.slice(32))];
  if (!point || !r || s >= ORDER) { return false; }
  const all = new Uint8Array([...signature.slice(0, 32), ...key, ...message]);
  const h = fromLittle(new Uint8Array(await crypto.subtle.digest("SHA-512", all))) % ORDER;
  const [one, two] = [times(s, base), add(r, times(h, point))];
  return !mod(one[0] * two[2] - two[0] * one[2]) && !mod(one[1] * two[2] - two[1] * one[2]);
}

// -- checking --------------------------------------------------------------------------------------

async function bytesOf(file, start, length) {
  return new Uint8Array(await file.slice(start, start + length).arrayBuffer());
}

const same = (a, b) => a.length === b.length && a.every((byte, n) => byte === b[n]);

// How many characters the JSON object at the beginning takes; 0 where it has no end.
function endOfObject(text) {
  let [depth, inString] = [0, false];
  for (let n = 0; n < text.length; n += 1) {
    const c = text[n];
    if (inString) { if (c === "\\") { n += 1; } else if (c === '"') { inString = false; } continue; }
    if (c === '"') { inString = true; }
    if (c === "{") { depth += 1; }
    if (c === "}") { depth -= 1; if (!depth) { return n + 1; } }
  }
  return 0;
}

async function readManifest(file) {
  const skipped = localHeader(MANIFEST, 0, 0).length;
  const head = await bytesOf(file, skipped, Math.min(file.size, 1 << 26));
  const text = new TextDecoder("latin1").decode(head);
  const end = endOfObject(text);
  const raw = text.slice(0, end);
  const manifest = JSON.parse(raw);
  if (manifest.kind !== "contact-archive-evidence" || manifest.version !== 1 || written(manifest) !== raw) {
    throw new Error("manifest");
  }
  const { signature, public_key: key, ...signed } = manifest;
  const ok = await holds(unbase64(key, 32), unbase64(signature, 64), new TextEncoder().encode(written(signed)));
  if (!ok) { throw new Error("signature"); }
  return { manifest, bytes: head.slice(0, end), skipped };
}

async function check(file, step) {
  const { manifest, bytes, skipped } = await readManifest(file);
  const wrong = [];
  const places = new Map();
  const crc = crc32(bytes);
  let header = localHeader(MANIFEST, bytes.length, crc);
  if (!same(await bytesOf(file, 0, skipped), header)) { wrong.push([MANIFEST, words.header]); }
  const entries = [[MANIFEST, centralEntry(MANIFEST, bytes.length, crc, 0)]];
  let offset = skipped + bytes.length;
  for (const one of manifest.files) {
    step(one.name);
    header = localHeader(one.name, one.bytes, one.crc32);
    if (!same(await bytesOf(file, offset, header.length), header)) { wrong.push([one.name, words.header]); }
    entries.push([one.name, centralEntry(one.name, one.bytes, one.crc32, offset)]);
    const start = offset + header.length;
    if (one.bytes > MOST_AT_ONCE) {
      wrong.push([one.name, words.large]);
    } else if (await digest(await bytesOf(file, start, one.bytes)) !== one.sha256) {
      wrong.push([one.name, words.changed]);
    } else {
      places.set(one.name, [start, one.bytes]);
    }
    offset = start + one.bytes;
  }
  let at = offset;
  for (const [name, entry] of entries) {
    if (!same(await bytesOf(file, at, entry.length), entry)) { wrong.push([name, words.entry]); }
    at += entry.length;
  }
  const end = endRecord(entries.length, offset, at - offset);
  if (!same(await bytesOf(file, at, end.length), end)) { wrong.push(["ZIP", words.end]); }
  if (file.size > at + end.length) { wrong.push(["ZIP", words.more]); }
  const print = (await digest(unbase64(manifest.public_key, 32))).replace(/(.{8})(?=.)/g, "$1 ");
  return { manifest, wrong, places, print };
}

// -- the page --------------------------------------------------------------------------------------

const verdict = document.getElementById("verdict");

function say(kind, title, lines) {
  verdict.className = kind;
  verdict.replaceChildren();
  const head = document.createElement("strong");
  head.textContent = title;
  verdict.append(head);
  for (const line of lines) {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    verdict.append(paragraph);
  }
}

async function chosen(file) {
  say("", words.checking, []);
  try {
    const found = await check(file, (name) => say("", words.checking, [name]));
    if (found.manifest.id !== document.body.dataset.package) {
      say("bad", words.bad, [words.other]);
      return;
    }
    if (found.wrong.length) {
      say("bad", words.bad, found.wrong.map(([name, what]) => `${name}: ${what}`));
    } else {
      say("good", words.good, [`${words.files}: ${found.manifest.files.length + 1}`, `${words.key}: ${found.print}`]);
    }
    for (const player of document.querySelectorAll("audio[data-file]")) {
      const place = found.places.get(player.dataset.file);
      if (!place) { continue; }
      player.src = URL.createObjectURL(file.slice(place[0], place[0] + place[1], "audio/ogg"));
      player.parentElement.querySelector(".lost")?.setAttribute("hidden", "");
    }
  } catch {
    say("bad", words.bad, [`${MANIFEST}: ${words.unreadable}`]);
  }
}

const field = document.getElementById("package");
field.addEventListener("click", () => { field.value = ""; });  // so that the same file can be chosen again
field.addEventListener("change", () => { if (field.files.length) { chosen(field.files[0]); } });

for (const player of document.querySelectorAll("audio[data-file]")) {
  const lost = player.parentElement.querySelector(".lost");
  player.addEventListener("error", () => lost.removeAttribute("hidden"));
  player.src = player.dataset.file;
}

function play(id, seconds) {
  const player = document.getElementById(id);
  player.currentTime = seconds;
  player.play();
}

document.addEventListener("click", (event) => {
  const mark = event.target.closest("button[data-at]");
  if (mark) { play(mark.dataset.player, Number(mark.dataset.at)); return; }
  const wave = event.target.closest("svg[data-player]");
  if (!wave) { return; }
  const box = wave.getBoundingClientRect();
  play(wave.dataset.player, ((event.clientX - box.left) / box.width) * Number(wave.dataset.duration));
});
