// Opens matchers for the answers of a request with the option `grammar`. Every problem is reported
// here, before anything is queued.

import { GrammarError, OptionError } from '../../base/errors.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import { readGrammar, type ReadGrammar } from '../../formats/grammar/read-grammar.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import type { GrammarHost, TokenMatcher } from './grammar-host.ts'
import { createJsonMatcher } from './json-matcher.ts'
import { getVocabulary } from './vocabulary.ts'

export interface MatcherRequest {
  readonly grammar: GrammarChoice
  readonly minTokens: number
  /** Special tokens that may occur in the text. */
  readonly keepTokens: readonly string[]
}

export interface MatcherParts {
  readonly host: GrammarHost | undefined
  readonly tokenizer: Tokenizer | undefined
  /** How many logits there are. */
  readonly vocabularySize: number
}

/** Recently read grammars by their JSON, because reading a large schema takes milliseconds. */
const recent = new Map<string, ReadGrammar>()
const MOST_RECENT = 64

/** A grammar as it is compiled. Throws GrammarError that names the place of what is wrong. */
export function readRecentGrammar(choice: GrammarChoice): ReadGrammar {
  const key = JSON.stringify(choice)
  const read = recent.get(key) ?? readGrammar(choice)
  recent.delete(key)
  recent.set(key, read)
  for (const [oldest] of recent) if (recent.size > MOST_RECENT) recent.delete(oldest)
  return read
}

/** `count` matchers at the beginning of a text. */
export async function openMatchers(
  { grammar, minTokens, keepTokens }: MatcherRequest,
  { host, tokenizer, vocabularySize }: MatcherParts,
  count: number,
): Promise<TokenMatcher[]> {
  const { text, mostBytes, isJson, lengths } = readRecentGrammar(grammar)
  if (minTokens > mostBytes)
    throw new GrammarError(
      'The grammar',
      'minTokens',
      `got ${minTokens}, but the grammar's longest text has ${mostBytes} bytes, so fewer tokens`,
    )
  if (!host)
    throw new OptionError(
      'The option grammar: this model was made without a host for grammars. Give createModel one: grammars: createLocalHost(openGrammarLibrary).',
    )
  const keptIds = keepTokens.flatMap((token) => tokenizer?.tokenId(token) ?? [])
  const vocabulary = getVocabulary(tokenizer, vocabularySize, keptIds)
  const opened: TokenMatcher[] = []
  try {
    for (let i = 0; i < count; i++) {
      const matcher = await host.open({ vocabulary, text })
      opened.push(isJson ? createJsonMatcher(matcher, vocabulary, lengths) : matcher)
    }
  } catch (error) {
    for (const matcher of opened) matcher.close()
    throw error
  }
  return opened
}
