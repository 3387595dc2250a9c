// One answer under a user's tiers: what a request needs so that the tiers are its head, and the
// turn with what learning can reuse. Independent of users and of what is done with the turn.

import type { Expert } from '../../adapters/serving/mixture.ts'
import {
  chooseStage,
  type Generation,
  type LogitsStage,
  type Model,
  type PromptOptions,
} from '../../runtime/index.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import { createMemoryDrafter } from './memory-drafter.ts'
import type { ServedAnswer, ServedState } from './tier-stage.ts'
import type { Turn } from './turn.ts'
import { joinRows, joinStates } from './turn-states.ts'

export interface GenerateTurnParts {
  readonly model: Model
  /** Shared by all users. */
  readonly stage: LogitsStage<ServedAnswer>
  /** The layer whose input states tiers on layers and the memory use. */
  readonly layer: number | undefined
  /** Whether the whole turn's states at that layer are kept, for a tier on layers. */
  readonly keepsLayerInput: boolean
}

/** The tiers and the expert that answer. */
export interface TurnServer {
  readonly tiers: TierStack
  readonly adapter: Expert | undefined
}

/** What makes a request one under the tiers. */
export type TurnRequest = Pick<PromptOptions, 'adapter' | 'stage' | 'states'>

export interface StartedTurn {
  readonly request: TurnRequest
  /** The turn, when its answer has ended. */
  finish(generation: Pick<Generation, 'ids' | 'reason'>): Turn
}

/** One answer to one prompt; another answer to it is started separately. */
export function startTurn(
  parts: GenerateTurnParts,
  { tiers, adapter }: TurnServer,
  promptIds: readonly number[],
): StartedTurn {
  const { model, layer, stage, keepsLayerInput } = parts
  const served: ServedAnswer = { tiers, states: [] }
  const layerStates: Float32Array[] = []
  const take = (_: number, part: Float32Array): void => void layerStates.push(part.slice())
  return {
    request: {
      ...(adapter && { adapter }),
      ...(keepsLayerInput && layer !== undefined && { states: { layer, take } }),
      stage: chooseStage(stage, served, createMemoryDrafter(served)),
    },
    finish(generation) {
      const turn = buildTurn(model, promptIds, generation, served.states, { tiers, adapter })
      if (layer === undefined) return turn
      return { ...turn, layerStates: keepLayerStates(parts, { layerStates, served }, turn) }
    },
  }
}

function buildTurn(
  { base, config }: Model,
  promptIds: readonly number[],
  { ids, reason }: Pick<Generation, 'ids' | 'reason'>,
  served: readonly ServedState[],
  { tiers, adapter }: TurnServer,
): Turn {
  const eos = base.tokenizer?.eosId
  const answer = [...ids, ...(reason === 'eos' && eos !== undefined ? [eos] : [])]
  const scored = served.slice(0, answer.length)
  return {
    ids: [...promptIds, ...answer],
    promptTokens: promptIds.length,
    hidden: joinRows(
      scored.map(({ hidden }) => hidden),
      config.width,
    ),
    adapter,
    observed: { tiers, observations: scored.map(({ observation }) => observation) },
  }
}

/** A tier on layers needs the states of the whole turn, a memory only the answer's. */
function keepLayerStates(
  { model, keepsLayerInput }: GenerateTurnParts,
  given: { readonly layerStates: readonly Float32Array[]; readonly served: ServedAnswer },
  turn: Turn,
): Turn['layerStates'] {
  const { width } = model.config
  if (keepsLayerInput) return joinStates(given.layerStates, turn, width)
  const answered = turn.ids.length - turn.promptTokens
  const keys = given.served.states.slice(0, answered).map(({ key }) => key!)
  return { keys: joinRows(keys, width) }
}
