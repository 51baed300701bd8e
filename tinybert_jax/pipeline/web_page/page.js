// Shows the model's answer for what is typed. The worker computes; this never waits for it.
"use strict";

const SHOWN = 8; // classes; the others are behind a line that opens
const TELL_AFTER = 700; // milliseconds without typing, until a screen reader is told
// Browsers freeze for seconds over a field of a million characters, of which a model reads few.
const LONGEST_FIELD = 20_000;
const CHARACTERS_A_TOKEN = 64; // far more than texts have
const find = (id) => document.getElementById(id);
const [form, text, pair] = ["form", "text", "pair"].map(find);

let settings = null;
let worker = null;
let isReady = false;
let busy = false; // the worker has a text
let asked = 0; // number of the latest text
let waiting = null; // the text to send next: of those typed meanwhile only the latest counts
let telling = 0;

start();

async function start() {
  try {
    settings = await (await fetch("settings.json")).json();
  } catch {
    const how = "python -m http.server --bind 127.0.0.1";
    fail(`A browser loads models from a server only. Run “${how}” in this folder and open http://127.0.0.1:8000.`);
    return;
  }
  describe();
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => receive(data);
  worker.onerror = (event) => fail(`The model could not be loaded: ${event.message || "worker.js is missing"}`);
  form.addEventListener("input", ask);
  form.addEventListener("reset", () => {
    setTimeout(ask); // when the fields are empty
    text.focus();
  });
}

function describe() {
  const { kind, layers, width, parameters, bytes } = settings;
  const what = settings.pair ? "two texts" : "a text";
  const title = `${kind === "regression" ? "Rate" : "Classify"} ${what}`;
  find("title").textContent = document.title = title;
  find("second").hidden = !settings.pair;
  text.maxLength = pair.maxLength = Math.max(LONGEST_FIELD, CHARACTERS_A_TOKEN * settings.max_length);
  find("text-label").textContent = settings.pair ? "First text" : "Text";
  find("about").textContent =
    `A model of ${layers} ${layers === 1 ? "layer" : "layers"} × ${width}, ${parameters.toLocaleString("en")} ` +
    `parameters, ${(bytes / 1e6).toFixed(1)} MB of 8-bit integers. It runs in this browser: what you type stays on ` +
    "this machine.";
}

function ask() {
  asked += 1;
  const isEmpty = (field) => !/\S/.test(field.value);
  if (isEmpty(text) || (settings.pair && isEmpty(pair))) {
    waiting = null;
    show([]);
    find("note").textContent = "";
    working(false);
    quiet(isReady ? `Type or paste ${settings.pair ? "two texts" : "a text"}.` : "Loading the model…");
    return;
  }
  waiting = { id: asked, text: text.value, pair: settings.pair ? pair.value : null };
  working(true);
  send();
}

function send() {
  if (!isReady || busy || !waiting) return;
  busy = true;
  worker.postMessage(waiting);
  waiting = null;
}

function receive(data) {
  if (data.failed) {
    fail(data.failed);
    return;
  }
  if (data.ready) {
    isReady = true;
    ask();
    return;
  }
  busy = false;
  // What came meanwhile is newer; an answer to fields that were emptied is none.
  if (data.id === asked) {
    (data.error ? fail : answer)(data.error ?? data);
    working(false);
  }
  send();
}

function answer({ logits, tokens, isCut, milliseconds, tokenizing }) {
  const said = { classification, multi_label: multiLabel, regression }[settings.kind](logits);
  say(said.words);
  show(said.classes);
  find("note").textContent = note(isCut, tokens);
  find("time").textContent = `${milliseconds.toFixed(1)} ms`;
  find("cost").textContent = ` for ${count(tokens, "token")}, ${tokenizing.toFixed(1)} ms of it for the tokenizer`;
  tell(said.words + (said.classes.length ? `, ${percent(said.classes[0].share)}` : ""));
}

function note(isCut, tokens) {
  if (isCut) return `The model reads the first ${count(tokens, "token")}.`;
  const isFull = [text, pair].some((field) => field.value.length >= field.maxLength);
  return isFull ? `A field takes ${count(text.maxLength, "character")}; the rest was left out.` : "";
}

function classification(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  const classes = sorted(powers.map((value) => value / sum));
  classes[0].isGiven = true;
  return { words: classes[0].name, classes };
}

function multiLabel(logits) {
  const classes = sorted(logits.map((value) => 1 / (1 + Math.exp(-value))));
  for (const one of classes) one.isGiven = one.share >= 0.5;
  const given = classes.filter((one) => one.isGiven).map((one) => one.name);
  return { words: given.length ? given.join(", ") : "None of the labels", classes };
}

function regression([value]) {
  return { words: value.toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 }), classes: [] };
}

function sorted(shares) {
  const classes = shares.map((share, number) => ({ name: settings.labels[number], share, isGiven: false }));
  return classes.sort((a, b) => b.share - a.share);
}

function show(classes) {
  find("classes").replaceChildren(...classes.slice(0, SHOWN).map(row));
  find("others").replaceChildren(...classes.slice(SHOWN).map(row));
  find("more").hidden = classes.length <= SHOWN;
  find("more-title").textContent = `${count(classes.length - SHOWN, "more label")}`;
}

function row({ name, share, isGiven }) {
  const item = document.createElement("li");
  const part = (kind, content) => {
    const made = document.createElement("span");
    made.className = kind;
    made.append(content);
    item.append(made);
    return made;
  };
  part("name", name).dir = "auto";
  part("share", percent(share));
  const bar = document.createElement("i");
  bar.style.width = `${100 * share}%`;
  part("bar", bar).ariaHidden = "true";
  item.classList.toggle("given", isGiven);
  return item;
}

function working(isWorking) {
  find("result").ariaBusy = isWorking;
}

function say(words, kind = "") {
  find("answer").textContent = words;
  find("answer").className = kind;
}

function quiet(words) {
  say(words, "quiet");
  find("time").textContent = find("cost").textContent = "";
  tell(words);
}

function fail(words) {
  say(words, "wrong");
  show([]);
  find("time").textContent = find("cost").textContent = "";
  tell(words);
}

function tell(words) {
  clearTimeout(telling);
  telling = setTimeout(() => (find("status").textContent = words), TELL_AFTER);
}

function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
