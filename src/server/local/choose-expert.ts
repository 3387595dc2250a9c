// Which expert answers a request: its `model` after removing the base's name, or llama.cpp's
// scales. An unknown name is an error; the base never answers in its place.

import { type Expert, isMixture } from '../../adapters/serving/mixture.ts'
import {
  type ExpertSpec,
  formatExpertSpec,
  parseExpertSpec,
  type SpecPart,
} from '../../adapters/serving/expert-spec.ts'
import { RequestError } from '../request-error.ts'
import type { ExpertChoice } from '../service.ts'
import type { ExpertRegister } from './expert-register.ts'

export interface ChosenExpert {
  /** As a mixture is written; undefined: the base. */
  readonly spec: string | undefined
  /** The experts and their weights. */
  readonly parts: readonly SpecPart[]
  /** Experts that take over later in the answer. */
  readonly isFade: boolean
  /** How it reads and writes text. */
  readonly reader: Expert | undefined
  /** The system message that its experts were trained with, if they agree. */
  readonly system: string | undefined
  /** Its experts. */
  readonly names: readonly string[]
  /** The name that the answer reports: the one that was asked for. */
  readonly model: string
}

export interface ExpertChooser {
  /** Throws RequestError of status 404 for an unknown name. */
  choose(choice: ExpertChoice): ChosenExpert
}

/** `baseNames`: the base's own name first. */
export function createExpertChooser(
  experts: ExpertRegister,
  baseNames: readonly string[],
): ExpertChooser {
  const choose = (spec: ExpertSpec, model: string): ChosenExpert => {
    const parts = listParts(spec)
    for (const { name } of parts)
      if (!experts.has(name)) throw experts.createAbsence(name, baseNames)
    const names = [...new Set(parts.map(({ name }) => name))]
    const systems = new Set(names.map((name) => experts.get(name).record.system))
    return {
      spec: parts.some(({ weight }) => weight !== 0) ? formatExpertSpec(spec) : undefined,
      parts: spec.parts,
      isFade: spec.later !== undefined,
      reader: toReader(names, experts),
      system: systems.size === 1 ? [...systems][0] : undefined,
      names,
      model,
    }
  }
  return {
    choose({ model, scales }) {
      const spec = model === undefined ? { parts: [] } : readModelName(model, baseNames)
      const given = model?.trim() ?? baseNames[0]!
      const lora = scales ?? (model === undefined ? listStandingScales(experts) : undefined)
      if (lora === undefined) return choose(spec, given)
      if (listParts(spec).length > 0)
        throw new RequestError(
          `Both model (${JSON.stringify(given)}) and lora name the experts that answer. Give one of them.`,
          { param: 'lora', code: 'invalid_value' },
        )
      const parts = lora
        .map(({ id, scale }) => ({ name: experts.getById(id).name, weight: scale }))
        .filter(({ weight }) => weight !== 0)
      return choose({ parts }, given)
    },
  }
}

const listStandingScales = (experts: ExpertRegister) =>
  experts.list().flatMap(({ id, scale }) => (scale === 0 ? [] : [{ id, scale }]))

/** 'smollm2-135m-instruct:q4_1:coder' → coder: the longest name of the base is removed first. */
export function readModelName(model: string, baseNames: readonly string[]): ExpertSpec {
  const text = model.trim()
  if (text === '')
    throw new RequestError(`model is empty. The base is ${JSON.stringify(baseNames[0])}.`, {
      status: 404,
      param: 'model',
      code: 'model_not_found',
    })
  const front = baseNames
    .filter((name) => text === name || text.slice(name.length).trimStart().startsWith(':'))
    .filter((name) => text.startsWith(name))
    .toSorted((a, b) => b.length - a.length)[0]
  try {
    return parseExpertSpec(text, { base: front })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RequestError(`model: ${reason}`, { param: 'model', code: 'invalid_value' }, { cause })
  }
}

const listParts = ({ parts, later = [] }: ExpertSpec): SpecPart[] => [
  ...parts,
  ...later.flatMap((stage) => stage.parts),
]

/** The experts as one for reading text, where weights do not matter. */
function toReader(names: readonly string[], experts: ExpertRegister): Expert | undefined {
  const adapters = names.flatMap((name) => {
    const { expert, described } = experts.get(name).handle
    const own = expert ?? described
    return isMixture(own) ? own.mixture.map(({ adapter }) => adapter) : [own]
  })
  if (adapters.length < 2) return adapters[0]
  return { mixture: adapters.map((adapter) => ({ adapter, weight: 1 })) }
}
