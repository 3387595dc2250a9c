// The actions of graft experts over the library: build experts from recipes, and check those that
// are released.

import type { CheckedExpert } from '../../node/library/check-released.ts'
import type { ExpertRecipe } from '../../node/library/recipe.ts'
import type { VariantResult } from '../../node/library/results.ts'
import type { LoadedModel } from '../../node/index.ts'
import { NotFoundError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { UsageError } from '../command.ts'
import { openModel } from '../shared/open-model.ts'
import type { Action, ActionContext } from './action.ts'

type LibraryContext = Omit<ActionContext, 'registry'> & {
  setExitCode(code: number): void
}

/** An action that needs no registry. */
export type LibraryAction = Omit<Action, 'run'> & {
  run(words: readonly string[], context: LibraryContext): Promise<unknown>
}

export const libraryActions: Readonly<Record<string, LibraryAction>> = {
  build: {
    usage: '<recipe> | --all',
    about: 'trains and measures experts of the library from their recipes; resumes an earlier build',
    words: [0, 1],
    options: ['all', 'out', 'data', 'seed', 'steps', 'rows', 'lora', 'model', 'threads'],
    async run([name], context) {
      const recipes = await chooseRecipes(name, context.values.all ?? false)
      const { libraryBase } = await import('../../node/library/recipe.ts')
      return withModel(libraryBase, context, (model) => buildExperts(recipes, model, context))
    },
  },
  check: {
    usage: '[name]',
    about:
      'verifies and measures the released experts again on 50 rows; fails if one got worse',
    words: [0, 1],
    options: ['from', 'data', 'key', 'model', 'threads'],
    async run([name], context) {
      const { listReleased, releasedDirectory } = await import('../../node/library/released.ts')
      const directory = context.values.from ?? releasedDirectory
      const names = await listReleased(directory)
      if (names.length === 0) throw new NotFoundError(`${directory}: contains no experts.`)
      if (name !== undefined && !names.includes(name)) throw createUnknownError(name, names, directory)
      const { libraryBase } = await import('../../node/library/recipe.ts')
      const chosen = name === undefined ? names : [name]
      return withModel(libraryBase, context, (model) =>
        checkExperts(chosen, directory, model, context),
      )
    },
  },
}

function createUnknownError(name: string, names: readonly string[], directory: string): Error {
  const meant = findNearestName(name, names)
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  return new NotFoundError(
    `${directory}: there is no expert "${name}".${hint} There are: ${names.join(', ')}.`,
  )
}

async function chooseRecipes(name: string | undefined, all: boolean): Promise<ExpertRecipe[]> {
  const { getLibraryRecipe, libraryRecipes } = await import('../../node/library/recipe-table.ts')
  if (all === (name !== undefined))
    throw new UsageError(
      `graft experts build needs a recipe or --all; there are: ${[...libraryRecipes.keys()].join(', ')}.`,
    )
  return name === undefined ? [...libraryRecipes.values()] : [getLibraryRecipe(name)]
}

async function withModel<Result>(
  base: string,
  { values, terminal }: LibraryContext,
  use: (model: LoadedModel) => Promise<Result>,
): Promise<Result> {
  const model = await openModel(values.model ?? base, { threads: values.threads }, terminal)
  try {
    return await use(model)
  } finally {
    await model.dispose()
    const { nodeMetrics } = await import('../../node/metric-table.ts')
    for (const metric of nodeMetrics.values()) metric.dispose?.()
  }
}

async function buildExperts(
  recipes: readonly ExpertRecipe[],
  model: LoadedModel,
  { values, terminal, signal }: LibraryContext,
): Promise<unknown> {
  const [{ buildExpert }, { describeResult, describeAims }] = await Promise.all([
    import('../../node/library/build-expert.ts'),
    import('../../node/library/result-table.ts'),
  ])
  const { out = '.graft/experts', data, seed, steps, rows, lora = false } = values
  const built: VariantResult[] = []
  for (const recipe of recipes) {
    const progress = terminal.progress(recipe.name, undefined)
    const results = await buildExpert(recipe, {
      model,
      out,
      data,
      seed,
      steps,
      rows,
      lora,
      signal,
      command: `graft experts build ${recipe.name}`,
      now: () => performance.now(),
      onTrain(variant, event) {
        if (event.type === 'step-end')
          progress.update(
            event.step,
            `${variant}: step ${event.step} of ${event.steps}, loss ${event.loss.toFixed(3)}`,
          )
      },
      onMeasure: (variant, done, all) =>
        progress.update(done, `${variant}: answers, ${done} of ${all}`),
      onResult: (result, isNew) => terminal.say(describeResult(result, isNew)),
    })
    progress.end()
    for (const line of describeAims(results)) terminal.say(line)
    built.push(...results)
  }
  return built.map(({ scores: _scores, answers: _answers, ...result }) => result)
}

async function checkExperts(
  names: readonly string[],
  directory: string,
  model: LoadedModel,
  { values, terminal, signal, setExitCode }: LibraryContext,
): Promise<unknown> {
  const [{ checkReleased }, { getLibraryRecipe }, { releasedKeyFile }] = await Promise.all([
    import('../../node/library/check-released.ts'),
    import('../../node/library/recipe-table.ts'),
    import('../../node/library/released.ts'),
  ])
  const checked: CheckedExpert[] = []
  for (const name of names) {
    const progress = terminal.progress(name, undefined)
    const result = await checkReleased(getLibraryRecipe(name), {
      model,
      folder: `${directory}/${name}`,
      keys: values.key ?? [releasedKeyFile],
      data: values.data,
      signal,
      onProgress: (done, rows) => progress.update(done, `${done} of ${rows}`),
    })
    progress.end()
    const { metric, rows, released, measured, hasFallen } = result
    terminal.say(
      `${name}  ${metric} ${measured.toFixed(3)} on ${rows} rows, released with ${released.toFixed(3)}${hasFallen ? '  FALLEN' : ''}`,
    )
    checked.push(result)
  }
  if (checked.some(({ hasFallen }) => hasFallen)) setExitCode(1)
  return checked
}
