// Which modules of a model a configuration selects, by PEFT's rules (peft/tuners/tuners_utils.py,
// check_target_module_exists).

import { OptionError, UnsupportedError } from '../base/errors.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { parsePythonRegex } from './python-regex.ts'

export interface TargetChoice {
  /**
   * Ends of module paths ('q_proj', 'self_attn.q_proj'), one regex over whole paths, or
   * 'all-linear'.
   */
  readonly targets: readonly string[] | string
  /** Modules to leave out, by the same rules. */
  readonly exclude: readonly string[] | string
  /** Layer numbers; undefined: all. */
  readonly layers?: readonly number[]
  /**
   * Names of the module list with the layers ('layers'); empty: any name before the number.
   */
  readonly layersPattern: readonly string[]
}

type PathInfo = Pick<ModuleInfo, 'path'>

/** The options that name modules in addition to `targets`. */
interface NamedChoices {
  readonly rankPattern?: Readonly<Record<string, number>>
  readonly alphaPattern?: Readonly<Record<string, number>>
  readonly exclude?: readonly string[] | string
  readonly modulesToSave?: readonly string[]
  readonly layers?: readonly number[]
  readonly layersPattern?: readonly string[]
}

type Matcher = (path: string) => boolean

/** PEFT's own groups, which a pattern's numbered back references count. */
const endOfPath = ['^(.*\\.)?(', ')$'] as const

/**
 * The value of the first pattern that matches the end of the module path (peft/utils/other.py,
 * get_pattern_key).
 */
export function resolvePatternValue(
  patterns: Readonly<Record<string, number>>,
  path: string,
  otherwise: number,
): number {
  const found = Object.entries(patterns).find(([pattern]) =>
    parsePythonRegex(pattern, 'pattern', endOfPath).test(path),
  )
  return found ? found[1] : otherwise
}

/** Whether a path is one of the names or ends in one, or matches the regex as a whole. */
function createPathMatcher(choice: readonly string[] | string, what: string): Matcher {
  if (typeof choice !== 'string')
    return (path) => choice.some((name) => path === name || path.endsWith(`.${name}`))
  if (choice === '') return () => false
  const regex = parsePythonRegex(choice, what, ['^(?:', ')$'])
  return (path) => regex.test(path)
}

function createLayerMatcher({ layers, layersPattern }: TargetChoice): Matcher {
  if (!layers || layers.length === 0) return () => true
  const regexes = (layersPattern.length > 0 ? layersPattern : ['.*?\\.[^.]*']).map((name) =>
    parsePythonRegex(name, 'layersPattern', ['^(?:|.*?\\.)', '\\.(?<idx>\\d+)\\.']),
  )
  return (path) => {
    const found = regexes.map((regex) => regex.exec(path)).find((match) => match !== null)
    return found !== undefined && layers.includes(Number(found.groups!['idx']))
  }
}

/** Returns a test of whether a configuration selects a module. */
export function createTargetMatcher(choice: TargetChoice): (module: ModuleInfo) => boolean {
  const { targets, exclude } = choice
  const excluded = createPathMatcher(exclude, 'exclude')
  const inLayers = createLayerMatcher(choice)
  if (targets === 'all-linear') {
    return ({ path, kind, layer }) =>
      kind === 'linear' && layer !== undefined && !excluded(path) && inLayers(path)
  }
  const hit = createPathMatcher(targets, 'targets')
  // As in PEFT, a module named by its whole path is selected whatever `layers` is.
  return ({ path }) =>
    !excluded(path) &&
    hit(path) &&
    (inLayers(path) || (typeof targets !== 'string' && targets.includes(path)))
}

/**
 * The same for kinds that act on linear layers only; throws UnsupportedError for an embedding that
 * is a target.
 */
export function isLinearTarget(choice: TargetChoice, module: ModuleInfo, kind: string): boolean {
  const hit = createTargetMatcher(choice)(module)
  if (hit && module.kind !== 'linear')
    throw new UnsupportedError(`${module.path}: ${kind} acts on linear layers, not on embeddings.`)
  return hit
}

/** The last parts of module paths, each once: what target names usually are. */
export const listModuleNames = (modules: readonly PathInfo[]): string[] => [
  ...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1))),
]

/**
 * The modules that a choice selects. Throws OptionError listing all names that match nothing, all
 * layers that do not exist, and the existing names.
 */
export function selectTargetModules(
  choice: TargetChoice,
  modules: readonly ModuleInfo[],
): ModuleInfo[] {
  const problems: string[] = []
  if (typeof choice.targets !== 'string') {
    const lost = choice.targets.filter(
      (name) => !modules.some(({ path }) => path === name || path.endsWith(`.${name}`)),
    )
    if (lost.length > 0)
      problems.push(`no module is called ${lost.map((name) => `"${name}"`).join(', ')}`)
  }
  const layers = new Set(modules.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))
  const missing = (choice.layers ?? []).filter((layer) => !layers.has(layer))
  if (missing.length > 0)
    problems.push(`there is no layer ${missing.join(', ')} (the model has ${layers.size})`)
  const hit = modules.filter(createTargetMatcher(choice))
  if (problems.length === 0 && hit.length === 0)
    problems.push(`${JSON.stringify(choice.targets)} matches no module that is not left out`)
  if (problems.length > 0) {
    throw new OptionError(
      `Adapter targets: ${problems.join('; ')}. The model's modules are ${listModuleNames(modules).join(', ')}.`,
    )
  }
  return hit
}

/**
 * Names in new options that match nothing in the model: patterns that match no target module,
 * excluded names and modules to save that do not exist. They are probably misspelt. In a file, PEFT
 * ignores them, and so does Graft.
 */
export function findLostNames(
  config: object,
  { hit, modules, saveable }: Record<'hit' | 'modules' | 'saveable', readonly PathInfo[]>,
): string[] {
  const {
    rankPattern,
    alphaPattern,
    exclude,
    modulesToSave,
    layers,
    layersPattern = [],
  } = config as NamedChoices
  const lost = (option: string, names: readonly string[], among: string): string[] =>
    names.map((name) => `${option}: ${JSON.stringify(name)} matches no ${among}`)
  const patterns = (option: string, given: Readonly<Record<string, number>> = {}): string[] => {
    const none = Object.keys(given).filter(
      (pattern) => !hit.some(({ path }) => resolvePatternValue({ [pattern]: 1 }, path, 0) === 1),
    )
    return lost(option, none, 'target module')
  }
  const choices = exclude === undefined || exclude === '' ? [] : [exclude].flat()
  const left = choices.filter((name) => {
    const isHit = createPathMatcher(typeof exclude === 'string' ? name : [name], 'exclude')
    return !modules.some(({ path }) => isHit(path))
  })
  const unsaved = (modulesToSave ?? []).filter(
    (name) => !saveable.some(({ path }) => path.endsWith(name)),
  )
  return [
    ...patterns('rankPattern', rankPattern),
    ...patterns('alphaPattern', alphaPattern),
    ...lost('exclude', left, 'module'),
    ...lost('modulesToSave', unsaved, 'module with weights'),
    ...(layersPattern.length > 0 && layers === undefined
      ? ['layersPattern: chooses nothing without layers']
      : []),
  ]
}
