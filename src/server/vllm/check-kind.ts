// Which experts vLLM can serve: LoRA matrices on linear layers, with one scale for all. Every other
// one is refused with the command that converts it.

import type { Adapter } from '../../adapters/adapter.ts'
import type { AdapterConfig } from '../../adapters/kinds/kind.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import type { LoraConfig } from '../../adapters/kinds/lora-config.ts'
import { type Expert, isMixture } from '../../adapters/serving/mixture.ts'
import { RequestError } from '../request-error.ts'

type Way = 'compress' | 'fold' | 'none'

interface Obstacle {
  readonly what: string
  /** How to convert it to a form that vLLM serves. */
  readonly way: Way
}

const hasItems = (value: object | undefined): boolean =>
  value !== undefined && Object.keys(value).length > 0

/** Parts of a configuration that vLLM does not read. */
function findObstacle({ kind, config }: Pick<Adapter, 'kind' | 'config'>): Obstacle | undefined {
  const { effect } = getKind(kind)
  if (effect === 'precedes') return { what: `of kind ${kind}`, way: 'none' }
  const saved = findSaved(config)
  if (saved !== undefined) return { what: saved, way: 'fold' }
  if (kind !== 'lora')
    return { what: `of kind ${kind}`, way: effect === 'replaces' ? 'fold' : 'compress' }
  const { rankPattern, alphaPattern, bias, loraBias } = config as LoraConfig
  if (bias !== 'none' || loraBias) return { what: 'a LoRA with biases', way: 'fold' }
  if (hasItems(rankPattern) || hasItems(alphaPattern))
    return { what: 'a LoRA with ranks or scales by module', way: 'compress' }
  return undefined
}

function findSaved({
  modulesToSave,
  embeddings,
  trainableTokens,
  invocationTokens,
}: AdapterConfig): string | undefined {
  if (hasItems(modulesToSave)) return `one with whole modules (${modulesToSave!.join(', ')})`
  if (hasItems(embeddings)) return 'one with embeddings'
  if (hasItems(trainableTokens)) return 'one with trained tokens'
  if (hasItems(invocationTokens)) return 'one that acts from a token on'
  return undefined
}

const advice: Readonly<Record<Way, (name: string) => string>> = {
  compress: (name) =>
    `Make a LoRA of it: graft compress ${name} --rank 16 --out ${name}-lora. Or serve it without --backend.`,
  fold: (name) =>
    `Fold it into the base and let vLLM serve that: graft merge ${name} --into-base --out ${name}-base. Or serve it without --backend.`,
  none: () => 'No LoRA can be made of it: serve it without --backend.',
}

/** The adapter of an expert; throws RequestError if vLLM cannot serve it. */
export function checkVllmKind(name: string, expert: Expert): Adapter {
  if (isMixture(expert))
    throw new RequestError(
      `The expert "${name}" is a mixture, and vLLM serves one LoRA a request. Merge it: graft merge --help.`,
      { code: 'not_supported' },
    )
  const obstacle = findObstacle(expert)
  if (!obstacle) return expert
  throw new RequestError(
    `vLLM serves LoRA only, and the expert "${name}" is ${obstacle.what}. ${advice[obstacle.way](name)}`,
    { code: 'not_supported' },
  )
}
