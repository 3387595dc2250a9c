// GET /v1/models and /v1/models/{model}: the base first, then experts in memory, then those of the
// registry, whose newest versions requests may name too.

import { findNearestName } from '../../../base/suggest.ts'
import { toRequestError } from '../../error-response.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'
import type { RegisteredEntry, ServedBase, ServedExpert, Service } from '../../service.ts'

interface ModelBody {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
  readonly root: string
  readonly parent: string | null
  readonly max_model_len: number
  /** In memory, or in the registry, from which a request loads it. */
  readonly state: 'resident' | 'registered'
}

/** vLLM's fields beyond OpenAI's: the parent model and the context length. */
const toModelBody = (
  id: string,
  root: string,
  parent: string | null,
  created: number,
  { contextTokens }: ServedBase,
  state: ModelBody['state'] = 'resident',
): ModelBody => ({
  id,
  object: 'model',
  created,
  owned_by: 'graft',
  root,
  parent,
  max_model_len: contextTokens,
  state,
})

const toBaseBody = (base: ServedBase, created: number): ModelBody =>
  toModelBody(base.name, base.name, null, created, base)

/** The model "auto", for which the router chooses. */
const toRouterBody = (base: ServedBase): ModelBody =>
  toModelBody('auto', `router ${base.router}`, base.name, base.openedAt, base)

const toExpertBody = ({ name, key, loadedAt }: ServedExpert, base: ServedBase): ModelBody =>
  toModelBody(name, key, base.name, loadedAt, base)

const toRegisteredBody = (name: string, entry: RegisteredEntry, base: ServedBase): ModelBody =>
  toModelBody(
    name,
    entry.sha256,
    base.name,
    entry.addedAt,
    base,
    entry.isResident ? 'resident' : 'registered',
  )

async function listModels(service: Service): Promise<ModelBody[]> {
  const [base, experts, registered] = await Promise.all([
    service.describe(),
    service.listExperts(),
    service.findRegistered({}),
  ])
  const loaded = new Set(experts.map(({ name }) => name))
  return [
    toBaseBody(base, base.openedAt),
    ...(base.router === undefined ? [] : [toRouterBody(base)]),
    ...experts.map((one) => toExpertBody(one, base)),
    ...registered
      .filter(({ id }) => !loaded.has(id)) // a loaded expert of that name takes precedence
      .map((one) => toRegisteredBody(one.id, one, base)),
  ]
}

/** A version of the registry by reference; undefined if there is none. */
async function findReference(service: Service, reference: string): Promise<ModelBody | undefined> {
  try {
    const [entry] = await service.findRegistered({ reference })
    return entry && toRegisteredBody(reference, entry, await service.describe())
  } catch (error) {
    if (toRequestError(error).status === 404) return undefined
    throw error
  }
}

export const modelsRoute = defineRoute({
  method: 'GET',
  path: '/v1/models',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Lists the base and the experts.',
  async handle({ service }) {
    return Response.json({ object: 'list', data: await listModels(service) })
  },
})

export const modelRoute = defineRoute({
  method: 'GET',
  path: '/v1/models/{model}',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Describes the base or one expert.',
  async handle({ service, parameters }) {
    const { model = '' } = parameters
    const models = await listModels(service)
    const { aliases } = await service.describe()
    const found =
      (aliases.includes(model) ? models[0] : models.find(({ id }) => id === model)) ??
      (await findReference(service, model))
    if (found) return Response.json(found)
    const meant = findNearestName(
      model,
      models.map(({ id }) => id),
    )
    const hint =
      meant === undefined
        ? ' GET /v1/models lists the models.'
        : ` Did you mean ${JSON.stringify(meant)}?`
    throw new RequestError(`There is no model ${JSON.stringify(model.slice(0, 200))}.${hint}`, {
      status: 404,
      param: 'model',
      code: 'model_not_found',
    })
  },
})
