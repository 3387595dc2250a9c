// For tests: samples of a model that is constrained by schemas, checked by Ajv. A text that the
// limit of tokens cut off is completed byte by byte first.

import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { random } from '../../base/random.ts'
import { readGrammar } from '../../formats/grammar/read-grammar.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import type { GrammarHost } from '../../runtime/grammar/grammar-host.ts'
import { hasBit } from '../../runtime/decode/processors/grammar-mask.ts'
import { createEngine, type Engine, type EngineRequest } from '../../runtime/index.ts'
import type { LoadedModel } from '../model.ts'

const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
const vocabulary = { key: 'bytes', size: 256, tokens: bytes }
const MOST_BYTES = 3000
// The bytes that end a JSON text soonest, inside strings and outside.
const toBytes = (signs: string): number[] => [...signs].map((sign) => sign.codePointAt(0)!)
const inside = toBytes('"@')
const outside = toBytes('}]"0,:')

/** Whether a JSON text ends within a string. */
const isInString = (text: string): boolean =>
  (text.replaceAll(/\\[^]/g, '').split('"').length - 1) % 2 === 1

/** Completes a prefix of a text; throws if it is not a prefix. */
export async function completeText(
  host: GrammarHost,
  grammar: GrammarChoice,
  text: string,
): Promise<string> {
  const matcher = await host.open({ vocabulary, text: readGrammar(grammar).text })
  const written = [...new TextEncoder().encode(text)]
  for (const [i, byte] of written.entries()) {
    await matcher.ready()
    if (!hasBit(matcher.mask!, byte))
      throw new Error(`byte ${i} of ${JSON.stringify(text)} does not fit`)
    matcher.accept(byte)
  }
  const { uniform } = random(1)
  while (written.length < MOST_BYTES) {
    await matcher.ready()
    if (hasBit(matcher.mask!, 256)) break
    const allowed = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) =>
      hasBit(matcher.mask!, byte),
    )
    const soFar = new TextDecoder().decode(Uint8Array.from(written))
    const preferred = isInString(soFar) ? inside : outside
    const visible = allowed.filter((byte) => byte !== 0x20)
    const other = visible[Math.floor(uniform() * visible.length)] ?? allowed[0]!
    const next = preferred.find((byte) => allowed.includes(byte)) ?? other
    written.push(next)
    matcher.accept(next)
  }
  matcher.close()
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(written))
}

export interface SampleReport {
  readonly samples: number
  /** Samples that the limit cut off. */
  readonly cut: number
  /** Samples that do not fit. */
  readonly wrong: readonly string[]
}

export interface SampleOptions {
  readonly model: LoadedModel
  readonly host: GrammarHost
  readonly seeds: number
  readonly maxTokens: number
}

/** Samples each schema at temperature 1.5. */
export async function sampleSchemas(
  schemas: Readonly<Record<string, unknown>>,
  { model, host, seeds, maxTokens }: SampleOptions,
): Promise<SampleReport> {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  const engine = createEngine({ model, maxRows: 16 })
  const wrong: string[] = []
  let samples = 0
  let cut = 0
  for (const [name, schema] of Object.entries(schemas)) {
    const validate = ajv.compile(schema as object)
    const findProblem = async (whole: string | Promise<string>): Promise<string | undefined> => {
      try {
        return validate(JSON.parse(await whole)) ? undefined : ajv.errorsText(validate.errors)
      } catch (error) {
        return String(error)
      }
    }
    const grammar: GrammarChoice = { type: 'json-schema', schema: schema as object as never }
    const answers = await Promise.all(
      Array.from({ length: seeds }, (_, seed) =>
        readAnswer(engine, {
          prompt: model.encode('Once upon a time'),
          grammar,
          temperature: 1.5,
          seed,
          maxTokens,
        }),
      ),
    )
    for (const { text, reason } of answers) {
      samples++
      if (reason === 'length') cut++
      const problem = await findProblem(
        reason === 'length' ? completeText(host, grammar, text) : text,
      )
      if (problem !== undefined)
        wrong.push(`${name} (${reason}): ${JSON.stringify(text)}: ${problem}`)
    }
  }
  await engine.dispose()
  return { samples, cut, wrong }
}

async function readAnswer(
  engine: Engine,
  request: EngineRequest,
): Promise<{ text: string; reason: string }> {
  for await (const event of engine.generate(request))
    if (event.type === 'generation-end') return event
  throw new Error('the answer has no end')
}
