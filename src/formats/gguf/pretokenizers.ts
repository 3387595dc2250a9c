// How text is cut into words before byte-pair merging, by the name in `tokenizer.ggml.pre`.
// Patterns as in llama.cpp's llama-vocab.cpp or, where that one only approximates it, as in the
// tokenizer.json of the model the name comes from.

import { UnsupportedError } from '../../base/errors.ts'
import { gpt2Pattern } from '../text/repairs.ts'

export interface PreTokenizer {
  /** Applied one after the other; each cuts the pieces of the one before into matches and gaps. */
  readonly patterns: readonly string[]
  /** A piece that is a token itself is not built from merges. */
  readonly ignoreMerges?: boolean
  /** Unicode normalization of the text first. */
  readonly nfc?: boolean
  /** Whether BOS is added where the file does not say so. */
  readonly addBos?: boolean
}

const contractions = String.raw`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`
/** GPT-4's pattern with digits in groups of up to `digits`. */
const createGpt4Pattern = (digits: string): string =>
  String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`
const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
/** GPT-4o's pattern, which also cuts at changes of case. */
const createCasedPattern = (digits: string, ending: string): string =>
  String.raw`[^\r\n\p{L}\p{N}]?${upper}*${lower}+${ending}|[^\r\n\p{L}\p{N}]?${upper}+${lower}*${ending}|${digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`

const gpt2: PreTokenizer = { patterns: [gpt2Pattern] }
const singleDigits: PreTokenizer = { patterns: [String.raw`\p{N}`, gpt2Pattern] }
const llama3: PreTokenizer = {
  patterns: [createGpt4Pattern(String.raw`\p{N}{1,3}`)],
  ignoreMerges: true,
  addBos: true,
}
const qwen2: PreTokenizer = { patterns: [createGpt4Pattern(String.raw`\p{N}`)], nfc: true }
const cl100k: PreTokenizer = { patterns: [createGpt4Pattern(String.raw`\p{N}{1,3}`)] }
const tekken: PreTokenizer = {
  patterns: [createCasedPattern(String.raw`\p{N}`, '')],
  ignoreMerges: true,
  addBos: true,
}
const gpt4o: PreTokenizer = {
  patterns: [createCasedPattern(String.raw`\p{N}{1,3}`, `${contractions}?`)],
}
/** What llama.cpp does with files from before the key existed. */
const unnamed: PreTokenizer = {
  patterns: [
    String.raw`[\p{P}\$\+<=>\^~\|]+`,
    String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`,
    String.raw`\p{N}+`,
    '[0-9][0-9][0-9]',
  ],
}

const byName: Readonly<Record<string, PreTokenizer>> = {
  default: unnamed,
  'gpt-2': gpt2,
  'phi-2': gpt2,
  mellum: gpt2,
  smollm: singleDigits,
  starcoder: singleDigits,
  refact: singleDigits,
  codeshell: singleDigits,
  exaone: singleDigits,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  falcon3: llama3,
  smollm3: llama3,
  lfm2: llama3,
  pixtral: tekken,
  tekken,
  dbrx: cl100k,
  'smaug-bpe': cl100k,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  megrez: qwen2,
  'gpt-4o': gpt4o,
  llama4: gpt4o,
}

/**
 * The pre-tokenizer of a name; undefined is `default`. Throws UnsupportedError that lists the known
 * names.
 */
export function getPreTokenizer(name = 'default'): PreTokenizer {
  const found = Object.hasOwn(byName, name) ? byName[name] : undefined
  if (found) return found
  throw new UnsupportedError(
    `GGUF tokenizer.ggml.pre "${name}" is not supported; supported: ${Object.keys(byName).join(', ')}. Use the model's Hugging Face folder, which has its own tokenizer.json.`,
  )
}
