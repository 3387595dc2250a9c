// What bench `learn` streams past the model: 300 turns of three kinds of text, as tokens with those
// that are scored marked.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readFile } from 'node:fs/promises'
import type { Adapter } from '../../src/adapters/index.ts'
import { joinFloats } from '../../src/base/concat.ts'
import { selectKeyLayer } from '../../src/learn/turns/turn-states.ts'
import { readDataFile } from '../../src/node/data.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import { encodeData, type EncodedSequence } from '../../src/train/data/encode.ts'
import { createRawDataset } from '../../src/train/data/jsonl.ts'
import { stringifyJson } from '../../src/cli/quickstart/snips.ts'

const folder = fileURLToPath(new URL('../../examples/data', import.meta.url))
const pieceTokens = 96

export interface Stream {
  readonly name: string
  readonly turns: readonly EncodedSequence[]
}

type Row = Readonly<Record<string, unknown>>

/** Questions as chats without their own system message, completions scored. */
async function readChats(
  { base }: LoadedModel,
  file: string,
  pair: (row: Row) => object,
  count: number,
): Promise<EncodedSequence[]> {
  const { rows } = await readDataFile(join(folder, file))
  const options = { tokenizer: base.tokenizer!, chatTemplate: base.chatTemplate!, maxTokens: 384 }
  return [
    ...encodeData(
      createRawDataset(
        rows.slice(0, count).map(({ value }) => pair(value as Row)),
        file,
      ),
      options,
    ).rows,
  ]
}

/** A text in pieces; every token but a piece's first is scored. */
async function readPieces(
  { base }: LoadedModel,
  file: string,
  count: number,
): Promise<EncodedSequence[]> {
  const ids = base.tokenizer!.encode(await readFile(join(folder, file), 'utf8'))
  return Array.from({ length: count }, (_, i) => ({
    ids: Int32Array.from(ids.slice(i * pieceTokens, (i + 1) * pieceTokens)),
    weights: new Float32Array(pieceTokens).fill(1, 1),
  }))
}

/** Questions that have nothing to do with any stream; every token but the first is scored. */
export async function readGeneralText({ base }: LoadedModel): Promise<Stream> {
  const { rows } = await readDataFile(join(folder, 'gsm8k/questions.jsonl'))
  const turns = rows.map(({ value }) => {
    const ids = Int32Array.from(base.tokenizer!.encode(String((value as Row)['question'])))
    return { ids, weights: new Float32Array(ids.length).fill(1, 1) }
  })
  return { name: 'gsm8k', turns }
}

type Source = (model: LoadedModel, count: number) => Promise<EncodedSequence[]>
const sources: ReadonlyMap<string, Source> = new Map<string, Source>([
  [
    'snips',
    (model, count) =>
      readChats(
        model,
        'snips_json/train.jsonl',
        ({ text, json }) => ({ prompt: text, completion: stringifyJson(json) }),
        count,
      ),
  ],
  [
    'cypher',
    (model, count) =>
      readChats(
        model,
        'text2cypher/stream.jsonl',
        ({ question, cypher }) => ({ prompt: question, completion: String(cypher) }),
        count,
      ),
  ],
  ['shakespeare', (model, count) => readPieces(model, 'tinyshakespeare/train.txt', count)],
])

export const streamNames: readonly string[] = [...sources.keys()]
export const readStream = async (
  model: LoadedModel,
  name: string,
  count: number,
): Promise<Stream> => ({
  name,
  turns: await sources.get(name)!(model, count),
})

/**
 * A turn's final hidden states [T, D] before the tokens that are scored, what a memory knows them
 * by, and those tokens.
 */
export interface TurnStates {
  readonly hidden: Float32Array
  readonly keys: Float32Array
  readonly tokens: readonly number[]
}

/**
 * States of all turns, once: the base is frozen, and so is the adapter. Turns of like length go
 * together.
 */
export async function computeTurnStates(
  model: LoadedModel,
  { turns }: Stream,
  adapter?: Adapter,
): Promise<TurnStates[]> {
  const order = [...turns.keys()].toSorted((a, b) => turns[a]!.ids.length - turns[b]!.ids.length)
  const seen: TurnStates[] = []
  for (let start = 0; start < order.length; start += 6) {
    const part = order.slice(start, start + 6)
    const rows = await computeBatchStates(
      model,
      part.map((turn) => turns[turn]!),
      adapter,
    )
    part.forEach((turn, i) => (seen[turn] = rows[i]!))
  }
  return seen
}

async function computeBatchStates(
  model: LoadedModel,
  turns: readonly EncodedSequence[],
  adapter: Adapter | undefined,
): Promise<TurnStates[]> {
  const { width } = model.config
  const scored = turns.map(({ weights }) => [...weights.keys()].filter((t) => weights[t]! > 0))
  const at = scored.map((places) => places.map((t) => t - 1))
  const entering = turns.map((): Float32Array[] => [])
  const states = {
    layer: selectKeyLayer(model.config)!,
    take: (row: number, part: Float32Array) => void entering[row]!.push(part.slice()),
  }
  const rows = await model.hidden(
    turns.map(({ ids }) => [...ids.slice(0, -1)]),
    { at, states, ...(adapter && { adapter }) },
  )
  return turns.map(({ ids }, i) => {
    const whole = joinFloats(entering[i]!)
    const keys = at[i]!.map((t) => whole.subarray(t * width, (t + 1) * width))
    return {
      hidden: joinFloats(rows[i]!),
      keys: joinFloats(keys),
      tokens: scored[i]!.map((t) => ids[t]!),
    }
  })
}
