// The tokenizer inside a GGUF file as tokenizer.json and tokenizer_config.json of Hugging Face.
// Reads metadata only, no tensors.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { type GgufMetadata, type GgufValues, createGgufValues } from './values.ts'
import { getPreTokenizer } from './pretokenizers.ts'
import { computeMerges } from '../text/merges-from-scores.ts'
import { isolate } from '../text/repairs.ts'

export interface TokenizerFiles {
  readonly tokenizerJson: Record<string, unknown>
  readonly tokenizerConfig: Record<string, unknown>
}

/** Values of `tokenizer.ggml.token_type`. */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

interface Vocabulary {
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  /** Token → id; of equal tokens the first id, as llama.cpp and transformers have it. */
  readonly ids: ReadonlyMap<string, number>
}

interface ModelParts {
  readonly model: Record<string, unknown>
  readonly normalizer: object | null
  readonly preTokenizer: object | null
  readonly decoder: object
  readonly addBos: boolean
}

/**
 * Tokenizer models of GGUF that are read, each with the corresponding parts of tokenizer.json.
 */
const models: Readonly<Record<string, (values: GgufValues, vocabulary: Vocabulary) => ModelParts>> =
  {
    gpt2: convertByteLevel,
    llama: convertSentencePiece,
  }

/**
 * Both files, ids as in the GGUF. Throws UnsupportedError for a tokenizer of another kind,
 * FormatError for broken metadata.
 */
export function convertGgufTokenizer(metadata: GgufMetadata): TokenizerFiles {
  const values = createGgufValues(metadata)
  const name = values.string('tokenizer.ggml.model')
  if (name === undefined)
    throw new FormatError('This GGUF has no tokenizer: the key "tokenizer.ggml.model" is missing.')
  const read = Object.hasOwn(models, name) ? models[name] : undefined
  if (!read)
    throw new UnsupportedError(
      `GGUF tokenizer.ggml.model "${name}" is not supported; supported: ${Object.keys(models).join(', ')}.`,
    )
  const vocabulary = readVocabulary(values)
  const parts = read(values, vocabulary)
  const addBos = values.flag('tokenizer.ggml.add_bos_token') ?? parts.addBos
  const addEos = values.flag('tokenizer.ggml.add_eos_token') ?? false
  const token = (key: string): string | undefined =>
    findToken(vocabulary, key, values.number(`tokenizer.ggml.${key}_token_id`))
  const bos = token('bos')
  const eos = token('eos')
  const tokenizerJson = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: listAddedTokens(vocabulary),
    normalizer: parts.normalizer,
    pre_tokenizer: parts.preTokenizer,
    post_processor: createPostProcessor(
      vocabulary,
      addBos ? bos : undefined,
      addEos ? eos : undefined,
    ),
    decoder: parts.decoder,
    model: parts.model,
  }
  return {
    tokenizerJson,
    tokenizerConfig: createTokenizerConfig(values, {
      bos,
      eos,
      unknown: token('unknown'),
      pad: token('padding'),
      addBos,
      addEos,
    }),
  }
}

function readVocabulary(values: GgufValues): Vocabulary {
  const tokens = values.strings('tokenizer.ggml.tokens')
  if (!tokens)
    throw new FormatError(
      'This GGUF has no vocabulary: the key "tokenizer.ggml.tokens" is missing.',
    )
  const types = values.numbers('tokenizer.ggml.token_type') ?? tokens.map(() => tokenType.normal)
  if (types.length !== tokens.length) {
    throw new FormatError(
      `GGUF tokenizer.ggml.token_type: got ${types.length} entries, expected ${tokens.length}, one for each token.`,
    )
  }
  const ids = new Map<string, number>()
  tokens.forEach((token, id) => {
    if (!ids.has(token)) ids.set(token, id)
  })
  return { tokens, types, ids }
}

function findToken(
  { tokens }: Vocabulary,
  key: string,
  id: number | undefined,
): string | undefined {
  if (id === undefined || id === 0xffffffff) return undefined // 2³² − 1 is llama.cpp's "none"
  const token = tokens[id]
  if (token === undefined)
    throw new FormatError(
      `GGUF tokenizer.ggml.${key}_token_id: got ${id}, expected an id below ${tokens.length}.`,
    )
  return token
}

/** gpt2: byte-level BPE with merges, words cut by the pattern that `pre` names. */
function convertByteLevel(values: GgufValues, { ids }: Vocabulary): ModelParts {
  const merges = values.strings('tokenizer.ggml.merges')
  if (!merges)
    throw new FormatError('GGUF tokenizer "gpt2": the key "tokenizer.ggml.merges" is missing.')
  const pre = getPreTokenizer(values.string('tokenizer.ggml.pre'))
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: values.flag('tokenizer.ggml.add_space_prefix') ?? false,
    trim_offsets: true,
    use_regex: false,
  }
  return {
    model: createBpe(ids, merges.map(splitMerge), {
      ignore_merges: pre.ignoreMerges ?? false,
      byte_fallback: false,
      unk_token: null,
    }),
    normalizer: pre.nfc ? { type: 'NFC' } : null,
    preTokenizer: { type: 'Sequence', pretokenizers: [...pre.patterns.map(isolate), byteLevel] },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    addBos: pre.addBos ?? false,
  }
}

/**
 * "left right" → the two; the separating space is never the first character, since a merge may
 * start with one.
 */
function splitMerge(merge: string): [string, string] {
  const space = merge.indexOf(' ', 1)
  if (space < 0)
    throw new FormatError(
      `GGUF tokenizer.ggml.merges: got ${JSON.stringify(merge.slice(0, 80))}, expected two tokens with a space between them.`,
    )
  return [merge.slice(0, space), merge.slice(space + 1)]
}

/**
 * llama: SentencePiece BPE, whose scores say the order of merging; spaces are U+2581 and unknown
 * characters are bytes.
 */
function convertSentencePiece(values: GgufValues, { tokens, types, ids }: Vocabulary): ModelParts {
  const scores = values.numbers('tokenizer.ggml.scores')
  if (!scores || scores.length !== tokens.length) {
    throw new UnsupportedError(
      `GGUF tokenizer "llama" without scores is not supported (got ${scores?.length ?? 0} scores for ${tokens.length} tokens): they say how text is merged. Use the model's Hugging Face folder.`,
    )
  }
  const unknown = tokens[types.indexOf(tokenType.unknown)] ?? null
  const prefix = values.flag('tokenizer.ggml.add_space_prefix') ?? true
  const toMeta = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  const fromMeta = { type: 'Replace', pattern: { String: '▁' }, content: ' ' }
  return {
    model: createBpe(ids, computeMerges(tokens, scores, isMergeable(types)), {
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: false,
      unk_token: unknown,
    }),
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, toMeta] }
      : toMeta,
    preTokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        fromMeta,
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    addBos: true,
  }
}

/** Only normal and user-defined tokens come about by merging. */
const isMergeable = (types: readonly number[]) => (id: number) =>
  types[id] === tokenType.normal || types[id] === tokenType.userDefined

const createBpe = (
  ids: ReadonlyMap<string, number>,
  merges: readonly [string, string][],
  options: object,
): Record<string, unknown> => ({
  type: 'BPE',
  dropout: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  ...options,
  vocab: Object.fromEntries(ids),
  merges,
})

function listAddedTokens({ tokens, types }: Vocabulary): object[] {
  const added: object[] = []
  types.forEach((type, id) => {
    const special = type === tokenType.control || type === tokenType.unknown
    if (!special && type !== tokenType.userDefined) return
    added.push({
      id,
      content: tokens[id],
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    })
  })
  return added
}

/** The post-processor that puts BOS before and EOS after a text, where the file requires them. */
function createPostProcessor(
  { ids }: Vocabulary,
  bos: string | undefined,
  eos: string | undefined,
): object | null {
  if (bos === undefined && eos === undefined) return null
  const special = (token: string | undefined, type_id: number): object[] =>
    token === undefined ? [] : [{ SpecialToken: { id: token, type_id } }]
  const sequence = (id: string, type_id: number): object[] => [
    ...special(bos, type_id),
    { Sequence: { id, type_id } },
    ...special(eos, type_id),
  ]
  const used = [bos, eos].filter((token) => token !== undefined)
  return {
    type: 'TemplateProcessing',
    single: sequence('A', 0),
    pair: [...sequence('A', 0), ...sequence('B', 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [ids.get(token)], tokens: [token] }]),
    ),
  }
}

interface ConfigParts {
  bos: string | undefined
  eos: string | undefined
  unknown: string | undefined
  pad: string | undefined
  addBos: boolean
  addEos: boolean
}

function createTokenizerConfig(
  values: GgufValues,
  { bos, eos, unknown, pad, addBos, addEos }: ConfigParts,
): Record<string, unknown> {
  const context = values.number(`${values.string('general.architecture')}.context_length`)
  const chatTemplate = values.string('tokenizer.chat_template')
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_bos_token: addBos,
    add_eos_token: addEos,
    clean_up_tokenization_spaces: false,
    ...(bos !== undefined && { bos_token: bos }),
    ...(eos !== undefined && { eos_token: eos }),
    ...(unknown !== undefined && { unk_token: unknown }),
    ...(pad !== undefined && { pad_token: pad }),
    ...(context !== undefined && { model_max_length: context }),
    ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
  }
}
