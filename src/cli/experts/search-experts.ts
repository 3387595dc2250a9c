// graft experts search: by words and filters, or by what a question means.

import type { SearchQuery, SearchResult } from '../../registry/registry.ts'
import { UsageError } from '../command.ts'
import { defaultModel, openDefaultModel, openModel } from '../shared/open-model.ts'
import { formatTable } from '../ui/table.ts'
import type { Action, ActionContext } from './action.ts'
import { openFrom } from './open-published.ts'
import { listExpertRows, toExpertJson } from './show-experts.ts'

export const searchAction: Action = {
  usage: '[words]',
  about: 'by words in name, description, tags and examples, by the filters, or by --meaning',
  words: [0, 1],
  options: ['tag', 'domain', 'base', 'score', 'meaning', 'model', 'from', 'allow-private'],
  async run([text], context) {
    const { values, terminal } = context
    const { tag: tags, domain, base } = values
    const filters = { tags, domain, base, score: readScore(values.score) }
    const found = await (values.meaning
      ? searchMeaning(text, filters, context)
      : searchWords(text, filters, context))
    for (const line of formatTable(listExpertRows(found))) terminal.print(line)
    if (found.length === 0) terminal.print('Nothing was found.')
    return found.map(toExpertJson)
  },
}

async function searchWords(
  text: string | undefined,
  filters: SearchQuery,
  context: ActionContext,
): Promise<readonly SearchResult[]> {
  const { registry, values } = context
  if (values.model !== undefined)
    throw new UsageError('graft experts search: --model embeds a question: give --meaning too.')
  const query = Object.assign({ text }, filters)
  return (await openFrom(context))?.search(query) ?? registry.search(query)
}

async function searchMeaning(
  question: string | undefined,
  filters: SearchQuery,
  { registry, values, terminal }: ActionContext,
): Promise<readonly SearchResult[]> {
  if (values.from !== undefined)
    throw new UsageError(
      'graft experts search: what is published has no vectors: leave --meaning out, or add it first.',
    )
  if (question === undefined)
    throw new UsageError('graft experts search --meaning needs a question about what the expert should do.')
  const given = { date: undefined, weights: undefined, threads: undefined }
  const options = Object.assign({ 'rope-scaling': undefined }, given)
  const model = await (values.model === undefined
    ? openDefaultModel(options, terminal)
    : openModel(values.model, options, terminal))
  const source = values.model ?? defaultModel
  try {
    const { createModelEmbedder, searchByMeaning } = await import('../../registry/meaning.ts')
    const embedder = createModelEmbedder(source.includes('/') ? model.base.name : source, model)
    let line: ReturnType<typeof terminal.progress> | undefined
    const found = await searchByMeaning(registry, embedder, question, filters, {
      onProgress({ done, total }) {
        line ??= terminal.progress('reading descriptions', total)
        line.update(done, `${done} of ${total}`)
      },
    })
    line?.end()
    return found
  } finally {
    await model.dispose()
  }
}

/** 'exact_match=0.8' */
function readScore(text: string | undefined): SearchQuery['score'] {
  if (text === undefined) return undefined
  const [, metric, least] = /^(.+)=(-?\d*\.?\d+)$/.exec(text) ?? []
  if (metric === undefined)
    throw new UsageError(`--score: got ${JSON.stringify(text)}, expected such as exact_match=0.8.`)
  return { metric, least: Number(least) }
}
