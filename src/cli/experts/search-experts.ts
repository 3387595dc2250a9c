// graft experts search: by words and filters, or by what a question means.

import type { SearchQuery, SearchResult } from '../../registry/registry.ts'
import { UsageError } from '../command.ts'
import type { EmbedProgress } from '../../registry/meaning.ts'
import { formatTable } from '../ui/table.ts'
import type { Action, ActionContext } from './action.ts'
import { openEmbedder } from './open-embedder.ts'
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
  context: ActionContext,
): Promise<readonly SearchResult[]> {
  const { registry, values, terminal, signal } = context
  if (question === undefined)
    throw new UsageError('graft experts search --meaning needs a question about what the expert should do.')
  const published = await openFrom(context)
  const { embedder, close } = await openEmbedder(values.model, terminal)
  try {
    const { searchByMeaning } = await import('../../registry/meaning.ts')
    let line: ReturnType<typeof terminal.progress> | undefined
    const options = {
      signal,
      onProgress({ done, total }: EmbedProgress) {
        line ??= terminal.progress('reading descriptions', total)
        line.update(done, `${done} of ${total}`)
      },
    }
    const found = await (published
      ? published.searchByMeaning(embedder, question, filters, options)
      : searchByMeaning(registry, embedder, question, filters, options))
    line?.end()
    return found
  } finally {
    await close()
  }
}

/** 'exact_match=0.8' */
function readScore(text: string | undefined): SearchQuery['score'] {
  if (text === undefined) return undefined
  const [, metric, least] = /^(.+)=(-?\d*\.?\d+)$/.exec(text) ?? []
  if (metric === undefined)
    throw new UsageError(`--score: got ${JSON.stringify(text)}, expected a score such as exact_match=0.8.`)
  return { metric, least: Number(least) }
}
