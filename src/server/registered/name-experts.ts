// The experts that a request's `model` names; those of a registry are replaced by their names in
// memory: coder@stable:0.7+poet:0.3 → coder@1.2.0:0.7+poet:0.3.

import {
  type ExpertSpec,
  formatExpertSpec,
  type SpecPart,
} from '../../adapters/serving/expert-spec.ts'

const listAllParts = ({ parts, later = [] }: ExpertSpec): SpecPart[] => [
  ...parts,
  ...later.flatMap((stage) => stage.parts),
]

export const listNames = (spec: ExpertSpec): string[] => [
  ...new Set(listAllParts(spec).map(({ name }) => name)),
]

/** The text of a specification with other names. */
export function replaceNames(spec: ExpertSpec, names: ReadonlyMap<string, string>): string {
  const rename = (parts: readonly SpecPart[]): SpecPart[] =>
    parts.map(({ name, weight }) => ({ name: names.get(name) ?? name, weight }))
  const { parts, later } = spec
  return formatExpertSpec({
    parts: rename(parts),
    ...(later && {
      later: later.map(({ from, to, parts: own }) => ({ from, to, parts: rename(own) })),
    }),
  })
}
