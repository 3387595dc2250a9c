// Rewrites the parts of a tokenizer.json that @huggingface/tokenizers 0.2.0 reads otherwise than
// the Rust library that defines the format, into parts that it reads alike. The library is followed
// in everything else. Independent of any one model.

import { UnsupportedError } from '../../base/errors.ts'

/** One component of a tokenizer.json: a normalizer, pre-tokenizer or decoder. */
export interface TokenizerComponent {
  readonly type: string
  readonly [key: string]: unknown
}

interface SplitPattern {
  readonly Regex?: string
  readonly String?: string
}

/** GPT-2's word pattern, which a ByteLevel pre-tokenizer applies when `use_regex` is not false. */
export const gpt2Pattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

/** A pre-tokenizer that makes each match, and each stretch between matches, a separate piece. */
export const isolate = (regex: string): TokenizerComponent => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
})

const createSequence = (pretokenizers: readonly TokenizerComponent[]): TokenizerComponent => ({
  type: 'Sequence',
  pretokenizers,
})
const escapeRegex = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`)

/**
 * The same tokenizer with its pre-tokenizers in the forms that the library reads as the Rust
 * library does.
 */
export function repairTokenizer(
  tokenizer: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const before = tokenizer['pre_tokenizer'] as TokenizerComponent | null | undefined
  return {
    ...tokenizer,
    normalizer: tokenizer['normalizer'] ?? null,
    pre_tokenizer: before ? repairPreTokenizer(before) : null,
  }
}

function repairPreTokenizer(component: TokenizerComponent): TokenizerComponent {
  return repairs[component.type]?.(component) ?? component
}

const repairs: Readonly<Record<string, (component: TokenizerComponent) => TokenizerComponent>> = {
  Sequence: (c) =>
    createSequence((c['pretokenizers'] as readonly TokenizerComponent[]).map(repairPreTokenizer)),
  // The library's \d is ASCII only; Rust splits on every numeric character (Nd, Nl, No), such as ²
  // or ٣.
  Digits: (c) => isolate(c['individual_digits'] ? String.raw`\p{N}` : String.raw`\p{N}+`),
  // The library's \s follows JavaScript (with U+FEFF, without U+0085); a Split pattern is
  // translated to Unicode's White_Space.
  ByteLevel: (c) =>
    c['use_regex'] === false || c['add_prefix_space'] === true
      ? c
      : createSequence([isolate(gpt2Pattern), { ...c, use_regex: false }]),
  // The library's \w is ASCII only here.
  Whitespace: () => ({
    type: 'Split',
    pattern: { Regex: String.raw`\w+|[^\w\s]+` },
    behavior: 'Removed',
    invert: true,
  }),
  // The library never splits at the replacement character, which Rust does unless `split` is false.
  Metaspace: (c) =>
    c['split'] === false
      ? c
      : createSequence([
          c,
          isolate(mergeWithNext(escapeRegex((c['replacement'] as string) ?? '▁'))),
        ]),
  Split: repairSplit,
}

const mergeWithNext = (p: string): string =>
  String.raw`(?:${p})(?:(?!${p})[\s\S])*|(?:(?!${p})[\s\S])+`
const mergeWithPrevious = (p: string): string =>
  String.raw`(?:(?!${p})[\s\S])*(?:${p})|(?:(?!${p})[\s\S])+`
const joinContiguous = (p: string): string => `(?:${p})+`

/**
 * The library knows only "removed" and "isolated", and treats every other behaviour as the latter.
 */
function repairSplit(component: TokenizerComponent): TokenizerComponent {
  const { Regex, String: text } = component['pattern'] as SplitPattern
  const pattern = Regex ?? escapeRegex(text ?? '')
  const behavior = component['behavior'] as string
  const invert = component['invert'] === true
  // as a String its matches would be kept
  if (behavior === 'Removed') return { ...component, pattern: { Regex: pattern } }
  // inverted or not, matches and gaps are all pieces
  if (behavior === 'Isolated') return isolate(pattern)
  if (invert)
    throw new UnsupportedError(
      `tokenizer.json: a Split pre-tokenizer with behavior "${behavior}" and invert: true is not supported.`,
    )
  if (behavior === 'MergedWithPrevious') return isolate(mergeWithPrevious(pattern))
  if (behavior === 'MergedWithNext') return isolate(mergeWithNext(pattern))
  if (behavior === 'Contiguous') return isolate(joinContiguous(pattern))
  throw new UnsupportedError(
    `tokenizer.json: Split behavior "${behavior}" is not known; expected Removed, Isolated, MergedWith… or Contiguous.`,
  )
}
