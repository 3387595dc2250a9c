// Pages of lists as in OpenAI's API: ?limit=, ?after= and ?order=, over items with an id.

import { RequestError } from '../../request-error.ts'

export interface Page {
  readonly limit: number
  /** The id after which the page begins. */
  readonly after: string | undefined
  readonly order: 'asc' | 'desc'
}

export interface PageRules {
  /** Parameters of the route besides those of a page. */
  readonly further?: readonly string[]
  readonly limit: number
  readonly mostLimit: number
}

const pageParameters = ['limit', 'after', 'order']

/** Throws RequestError for an unknown parameter or a wrong value. */
export function readPage(query: URLSearchParams, rules: PageRules): Page {
  const { further = [], mostLimit } = rules
  const names = [...pageParameters, ...further]
  for (const name of query.keys())
    if (!names.includes(name))
      throw refuse(name.slice(0, 100), `is unknown here; there are ${names.join(', ')}`)
  const limit = Number(query.get('limit') ?? rules.limit)
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > mostLimit)
    throw refuse('limit', `must be an integer from 1 to ${mostLimit}`)
  const order = query.get('order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc') throw refuse('order', 'must be "asc" or "desc"')
  return { limit, after: query.get('after') ?? undefined, order }
}

const refuse = (param: string, problem: string): RequestError =>
  new RequestError(`The parameter ${JSON.stringify(param)} ${problem}.`, {
    param,
    code: 'invalid_value',
  })

/** One page of items, which are passed from the oldest to the newest. */
export function toPageBody<Item extends { readonly id: string }>(
  oldestFirst: readonly Item[],
  { limit, after, order }: Page,
) {
  const items = order === 'asc' ? oldestFirst : oldestFirst.toReversed()
  const place = after === undefined ? -1 : items.findIndex(({ id }) => id === after)
  if (after !== undefined && place < 0)
    throw refuse('after', `is not an id of this list: ${JSON.stringify(after.slice(0, 100))}`)
  const data = items.slice(place + 1, place + 1 + limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: place + 1 + limit < items.length,
  }
}
