// GET /v1/models and /v1/models/{model}: the base first, then the experts.

import { findNearestName } from '../../../base/suggest.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'
import type { ServedBase, ServedExpert, Service } from '../../service.ts'

interface ModelBody {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
  readonly root: string
  readonly parent: string | null
  readonly max_model_len: number
}

/** vLLM's fields beside OpenAI's: what it is made of, and the context. */
const toModelBody = (
  id: string,
  root: string,
  parent: string | null,
  created: number,
  { contextTokens }: ServedBase,
): ModelBody => ({
  id,
  object: 'model',
  created,
  owned_by: 'graft',
  root,
  parent,
  max_model_len: contextTokens,
})

const toBaseBody = (base: ServedBase, created: number): ModelBody =>
  toModelBody(base.name, base.name, null, created, base)

const toExpertBody = ({ name, key, loadedAt }: ServedExpert, base: ServedBase): ModelBody =>
  toModelBody(name, key, base.name, loadedAt, base)

async function listModels(service: Service): Promise<ModelBody[]> {
  const [base, experts] = await Promise.all([service.describe(), service.listExperts()])
  return [toBaseBody(base, base.openedAt), ...experts.map((one) => toExpertBody(one, base))]
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
    const found = aliases.includes(model) ? models[0] : models.find(({ id }) => id === model)
    if (found) return Response.json(found)
    const meant = findNearestName(
      model,
      models.map(({ id }) => id),
    )
    const hint = meant === undefined ? '' : ` Did you mean ${JSON.stringify(meant)}?`
    throw new RequestError(`There is no model ${JSON.stringify(model.slice(0, 200))}.${hint}`, {
      status: 404,
      param: 'model',
      code: 'model_not_found',
    })
  },
})
