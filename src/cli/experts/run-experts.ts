// `graft experts <action> …`: finds the action, checks its words and options, opens the registry.

import { oneOf } from '../../base/schema.ts'
import { checkValue, UsageError } from '../command.ts'
import { formatTable } from '../ui/table.ts'
import type { Action, ActionContext, Actions, ExpertsValues } from './action.ts'
import { libraryActions } from './library-actions.ts'
import { registryActions } from './registry-actions.ts'
import { siteActions } from './site-actions.ts'
import { trialActions } from './trial-actions.ts'

const actions: Actions = Object.assign({}, registryActions, siteActions, trialActions)
const all: Readonly<Record<string, Pick<Action, 'usage' | 'about' | 'words' | 'options'>>> =
  Object.assign({}, actions, libraryActions)

/** Lines of --help. */
export const describeActions = (): string[] => [
  'Actions:',
  ...formatTable(
    Object.entries(all).map(([name, { usage, about }]) => [`  ${name} ${usage}`, about]),
  ),
]

/** `graft experts <action> …`. */
export async function runExpertsAction(
  [name, ...words]: readonly string[],
  values: ExpertsValues,
  context: Pick<ActionContext, 'terminal' | 'signal'> & { setExitCode(code: number): void },
): Promise<unknown> {
  checkValue(oneOf(Object.keys(all)), name, 'graft experts')
  const action = all[name!]!
  const [least, most] = action.words
  if (words.length < least || words.length > most)
    throw new UsageError(`graft experts ${name} ${action.usage}: got ${words.length} arguments.`)
  checkOptionsOf(name!, action, values)
  const ofLibrary = libraryActions[name!]
  if (ofLibrary) return ofLibrary.run(words, Object.assign({ values }, context))
  const [{ openRegistry }, { getRegistryDirectory }] = await Promise.all([
    import('../../node/registry/open-registry.ts'),
    import('../../node/registry/registry-directory.ts'),
  ])
  const registry = await openRegistry(values.registry ?? getRegistryDirectory())
  try {
    return await actions[name!]!.run(words, { registry, values, ...context })
  } finally {
    await registry.close()
  }
}

/** An option that means nothing to the action is a mistake. */
function checkOptionsOf(
  name: string,
  { options }: Pick<Action, 'options'>,
  values: ExpertsValues,
): void {
  const allowed = [...(name in libraryActions ? [] : ['registry']), ...options]
  const wrong = Object.entries(values).filter(
    ([option, value]) => value !== undefined && value !== false && !allowed.includes(option),
  )
  if (wrong.length === 0) return
  const shown = wrong.map(([option]) => `--${option}`).join(', ')
  throw new UsageError(
    `graft experts ${name} takes no ${shown}; it takes ${allowed.map((option) => `--${option}`).join(', ')}.`,
  )
}
