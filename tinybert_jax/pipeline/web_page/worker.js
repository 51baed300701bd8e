// Cuts texts into tokens and runs the model, beside the page, so that the page never waits. Everything that is loaded
// lies in this folder; node_modules is what `npm install` made of package.json.

const PACKAGES = new URL("node_modules/", import.meta.url).href;
const LIBRARY = `${PACKAGES}@huggingface/transformers/dist/transformers.min.js`;
const RUNTIME = `${PACKAGES}onnxruntime-web/dist/ort-wasm-simd-threaded`;
const LONGEST_TEXT = 2 ** 18; // characters, as `tinybert-jax predict` has it
const CHARACTERS_A_TOKEN = 32; // of the part of a long text that is read first

const ready = open();

self.onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, ...(await answer(await ready, data.text, data.pair)) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};

ready.then(() => postMessage({ ready: true })).catch((error) => postMessage({ failed: `The model could not be loaded: ${error.message}` }));

async function open() {
  let library;
  try {
    library = await import(LIBRARY);
  } catch {
    throw new Error("The folder node_modules is missing or incomplete. Run “npm install” in the folder of this page.");
  }
  const { AutoModelForSequenceClassification, AutoTokenizer, Tensor, env } = library;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "./"; // beside this file
  env.useBrowserCache = env.useWasmCache = false; // a model that is exported again would not be seen
  env.backends.onnx.wasm.wasmPaths = { mjs: `${RUNTIME}.mjs`, wasm: `${RUNTIME}.wasm` };
  env.backends.onnx.wasm.numThreads = 1; // a small model gains nothing from more
  const read = await fetch(new URL("settings.json", import.meta.url));
  const { max_length } = await read.json();
  const local = { local_files_only: true };
  const tokenizer = await AutoTokenizer.from_pretrained("model", local);
  const model = await AutoModelForSequenceClassification.from_pretrained("model", { ...local, dtype: "q8" });
  const opened = { tokenizer, model, Tensor, max_length };
  await answer(opened, "a", null); // the first time takes longest
  return opened;
}

// Returns the logits of a text or a pair, with the tokens that were read and the milliseconds that it took.
async function answer({ tokenizer, model, Tensor, max_length }, text, pair) {
  const start = performance.now();
  const { columns, isCut } = encode(tokenizer, text, pair, max_length);
  const names = Object.values(model.sessions)[0].inputNames;
  const batch = {};
  for (const name of names) {
    batch[name] = new Tensor("int64", BigInt64Array.from(columns[name], BigInt), [1, columns[name].length]);
  }
  const middle = performance.now();
  const { logits } = await model(batch);
  const end = performance.now();
  const seconds = { milliseconds: end - start, tokenizing: middle - start };
  return { logits: Array.from(logits.data), tokens: columns.input_ids.length, isCut, ...seconds };
}

// Returns the model's inputs, cut to `longest` tokens as Hugging Face's tokenizers cut them (`truncation=True`).
function encode(tokenizer, text, pair, longest) {
  const first = beginning(tokenizer, text, longest);
  const second = pair === null ? null : beginning(tokenizer, pair, longest);
  const options = { text_pair: second?.text ?? null, return_tensor: false, return_token_type_ids: true };
  const whole = tokenizer(first.text, options);
  const size = whole.input_ids.length;
  const isCut = first.isCut || (second?.isCut ?? false) || size > longest;
  // [CLS] first [SEP], or [CLS] first [SEP] second [SEP] with one [SEP] or two between them.
  const specials = size - first.size - (second?.size ?? 0);
  const [one, other] = kept(first.size, second?.size ?? 0, longest - specials);
  const isKept = (_, place) =>
    place < 1 + one ||
    (place >= 1 + first.size && (second === null || place < size - 1 - second.size + other || place === size - 1));
  const columns = {};
  for (const name of ["input_ids", "attention_mask", "token_type_ids"]) {
    columns[name] = (whole[name] ?? new Array(size).fill(0)).filter(isKept);
  }
  return { columns, isCut };
}

// Returns how many tokens of two texts are read where `most` are, the longer one being cut first.
function kept(one, other, most) {
  if (one + other <= most) return [one, other];
  const least = Math.min(one, other);
  const rest = Math.max(least, most - least);
  const [small, large] = least + rest <= most ? [least, rest] : [most >> 1, most - (most >> 1)];
  return one <= other ? [small, large] : [large, small];
}

// Returns as much of a text as a model can read, to whole words, and the number of its tokens. What comes after so many
// tokens changes nothing, and a tokenizer would take seconds for a book.
function beginning(tokenizer, text, longest) {
  const whole = text.length <= LONGEST_TEXT ? text : text.trimStart().slice(0, LONGEST_TEXT);
  for (let length = CHARACTERS_A_TOKEN * longest; ; length *= 4) {
    const part = whole.length <= length ? whole : wholeWords(whole.slice(0, length));
    const size = tokenizer(part, { add_special_tokens: false, return_tensor: false }).input_ids.length;
    if (size > longest || part.length === whole.length || length >= whole.length) {
      return { text: part, size, isCut: part.length < text.trimEnd().length };
    }
  }
}

function wholeWords(text) {
  const end = text.search(/\s\S*$/);
  return end > 0 ? text.slice(0, end) : text;
}
