// Which modules a MicroLoRA has, and their dimensions: given by name, or as sets of a transformer's
// layers. Independent of: other options.

import {
  createField,
  type Field,
  integer,
  isRecord,
  listOf,
  object,
  string,
} from '../base/schema.ts'

/** The lengths of a target module's input and output. */
export interface ModuleDimensions {
  readonly inFeatures: number
  readonly outFeatures: number
}

export type Modules = Readonly<Record<string, ModuleDimensions>>

/** Sets of module names; any other target is a module's name. */
export const moduleSets: Readonly<Record<string, readonly string[]>> = {
  defaults: ['q_proj', 'v_proj'],
  attention: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  mlp: ['gate_proj', 'up_proj', 'down_proj'],
  embed: ['embed'],
  lm_head: ['lm_head'],
}

export type ModuleSet = 'defaults' | 'attention' | 'mlp' | 'embed' | 'lm_head'

/** What chooses modules, before it is completed. */
export interface ModuleChoice {
  readonly inFeatures?: number | undefined
  readonly outFeatures?: number | undefined
  readonly targets?: string | readonly string[] | undefined
  readonly modules?: Modules | undefined
}

const longestName = 200
export const dimension = integer({ from: 1, to: 2 ** 24 })
const dimensions = object({ inFeatures: dimension, outFeatures: dimension })

const isModuleName = (name: string): boolean => name !== '' && name.length <= longestName

const isComplete = (value: unknown): boolean =>
  dimensions.is(value) && value.inFeatures !== undefined && value.outFeatures !== undefined

/** Module dimensions by name; problems have the path, as in `modules.q.inFeatures`. */
export const modulesField: Field<Modules> = {
  ...createField(
    `an object with one module or more, names of 1 to ${longestName} characters`,
    { type: 'object', additionalProperties: dimensions.schema, minProperties: 1 },
    (value) =>
      isRecord(value) &&
      Object.keys(value).length > 0 &&
      Object.entries(value).every(([name, own]) => isModuleName(name) && isComplete(own)),
  ),
  findProblems(value, path) {
    if (!isRecord(value) || Object.keys(value).length === 0)
      return [`${path}: got ${JSON.stringify(value)}, expected an object with one module or more`]
    return Object.entries(value).flatMap(([name, own]) => {
      const where = `${path}.${name.slice(0, 60)}`
      if (!isModuleName(name))
        return [`${where}: got a name of ${name.length} characters, expected 1 to ${longestName}`]
      const problems = dimensions.findProblems(own, where)
      return problems.length > 0 || isComplete(own)
        ? problems
        : [`${where}: expected both inFeatures and outFeatures`]
    })
  },
}

const names = listOf(string())

export const targetsField: Field<string | readonly string[]> = createField(
  `a module's name, one of ${Object.keys(moduleSets).join(', ')}, or a list of them`,
  { type: ['string', 'array'] },
  (value) => {
    const list = typeof value === 'string' ? [value] : value
    return names.is(list) && list.length > 0 && list.every(isModuleName)
  },
)

/** The names that targets mean, each once. */
export const listTargetNames = (targets: string | readonly string[]): string[] => [
  ...new Set(
    (typeof targets === 'string' ? [targets] : targets).flatMap((name) =>
      Object.hasOwn(moduleSets, name) ? moduleSets[name]! : [name],
    ),
  ),
]

/** Conflicts in a choice whose single values are valid. */
export function findModuleProblems(choice: ModuleChoice): string[] {
  const { inFeatures, outFeatures, modules, targets } = choice
  if (targets === undefined)
    return modules && (inFeatures ?? outFeatures) !== undefined
      ? ['modules: have their own dimensions; leave inFeatures and outFeatures out']
      : []
  const targeted = listTargetNames(targets)
  return Object.keys(modules ?? {})
    .filter((name) => !targeted.includes(name))
    .map((name) => `modules.${name}: is not among the targets ${targeted.join(', ')}`)
}

/**
 * Dimensions by name: of `targets`, those in `modules` or else inFeatures and outFeatures. Without
 * a prototype, so that "__proto__" is a name like others.
 */
export function completeModules(choice: ModuleChoice): Record<string, ModuleDimensions> {
  const { inFeatures = 768, outFeatures = 768, modules, targets } = choice
  const common = { inFeatures, outFeatures }
  const listed = targets === undefined ? undefined : listTargetNames(targets)
  const chosen =
    listed?.map((name) => [name, modules?.[name] ?? common] as const) ??
    Object.entries(modules ?? { default: common })
  const complete: Record<string, ModuleDimensions> = Object.create(null)
  for (const [name, own] of chosen)
    complete[name] = { inFeatures: own.inFeatures, outFeatures: own.outFeatures }
  return complete
}
