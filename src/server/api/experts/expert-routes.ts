// Experts by name: list, load, swap, unload, pin, and their statistics.

import { flag, string } from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'
import type { ServedExpert, Service } from '../../service.ts'
import { registryRoute, toRegisteredBody } from './registry-route.ts'

const toBody = (expert: ServedExpert) => ({
  id: expert.name,
  object: 'expert',
  number: expert.id,
  path: expert.path ?? null,
  kind: expert.kind,
  pooling: expert.pooling ?? null,
  version: expert.version,
  key: expert.key,
  system: expert.system ?? null,
  own_template: expert.hasOwnTemplate,
  pinned: expert.isPinned,
  scale: expert.scale,
  loaded: expert.loadedAt,
  registered: expert.isRegistered ?? false,
})

const toStatisticsBody = ({ name, answers, completionTokens, loadedAt }: ServedExpert) => ({
  id: name,
  object: 'expert.stats',
  loaded: loadedAt,
  answers,
  completion_tokens: completionTokens,
})

async function getExpert(service: Service, name = ''): Promise<ServedExpert> {
  const experts = await service.listExperts()
  const found = experts.find((one) => one.name === name)
  if (found) return found
  const [registered] = await service.findRegistered({ reference: name }).catch(() => [])
  if (registered)
    throw new RequestError(
      `The expert ${JSON.stringify(`${registered.id}@${registered.version}`)} is registered and not in memory. A request that names it loads it.`,
      { status: 404, param: 'name', code: 'expert_not_resident' },
    )
  const meant = findNearestName(
    name,
    experts.map((one) => one.name),
  )
  const hint = meant === undefined ? '' : ` Did you mean ${JSON.stringify(meant)}?`
  throw new RequestError(`There is no expert ${JSON.stringify(name.slice(0, 200))}.${hint}`, {
    status: 404,
    param: 'name',
    code: 'expert_not_found',
  })
}

const shared = { tag: 'Experts', scope: 'admin' } as const
const pathField = string({ filled: true, about: 'a folder or file in an allowed place' })

const listRoute = defineRoute({
  method: 'GET',
  path: '/v1/experts',
  scope: 'infer',
  tag: 'Experts',
  summary: 'Lists the experts in memory and those of the registry.',
  async handle({ service }) {
    const [experts, registered] = await Promise.all([
      service.listExperts(),
      service.findRegistered({}),
    ])
    return Response.json({
      object: 'list',
      data: experts.map(toBody),
      registered: registered.map(toRegisteredBody),
    })
  },
})

const loadRoute = defineRoute({
  ...shared,
  method: 'POST',
  path: '/v1/experts',
  summary: 'Loads an expert under a name.',
  body: {
    fields: {
      name: string({ filled: true, about: 'default: the last part of the path' }),
      path: pathField,
      replace: flag({ about: 'takes the place of the expert of that name' }),
    },
    required: ['path'],
  },
  async handle({ service, body: { name, path, replace } }) {
    return Response.json(toBody(await service.loadExpert({ name, path: path!, replace })))
  },
})

const showRoute = defineRoute({
  method: 'GET',
  path: '/v1/experts/{name}',
  scope: 'infer',
  tag: 'Experts',
  summary: 'Describes an expert.',
  async handle({ service, parameters }) {
    return Response.json(toBody(await getExpert(service, parameters['name'])))
  },
})

const swapRoute = defineRoute({
  ...shared,
  method: 'PUT',
  path: '/v1/experts/{name}',
  summary: 'Puts another adapter in its place; answers that run end on the one before.',
  body: { fields: { path: pathField }, required: ['path'] },
  async handle({ service, body, parameters }) {
    const { name } = await getExpert(service, parameters['name'])
    return Response.json(
      toBody(await service.loadExpert({ name, path: body.path!, replace: true })),
    )
  },
})

const unloadRoute = defineRoute({
  ...shared,
  method: 'DELETE',
  path: '/v1/experts/{name}',
  summary: 'Unloads an expert, once its last answer has ended.',
  async handle({ service, parameters }) {
    const { name } = await getExpert(service, parameters['name'])
    await service.unloadExpert(name)
    return Response.json({ id: name, object: 'expert', deleted: true })
  },
})

const createPinRoute = (word: 'pin' | 'unpin', summary: string) =>
  defineRoute({
    ...shared,
    method: 'POST',
    path: `/v1/experts/{name}/${word}`,
    summary,
    async handle({ service, parameters }) {
      const { name } = await getExpert(service, parameters['name'])
      return Response.json(toBody(await service.pinExpert(name, word === 'pin')))
    },
  })

const expertStatisticsRoute = defineRoute({
  method: 'GET',
  path: '/v1/experts/{name}/stats',
  scope: 'infer',
  tag: 'Experts',
  summary: 'Returns an expert\'s counters since it was loaded.',
  async handle({ service, parameters }) {
    return Response.json(toStatisticsBody(await getExpert(service, parameters['name'])))
  },
})

const statisticsRoute = defineRoute({
  method: 'GET',
  path: '/v1/stats',
  scope: 'admin',
  tag: 'Experts',
  summary: 'Returns running and waiting requests, and the memory of experts and prefixes.',
  async handle({ service }) {
    return Response.json({ object: 'stats', ...(await service.stats()) })
  },
})

export const expertRoutes = [
  listRoute,
  registryRoute,
  loadRoute,
  showRoute,
  swapRoute,
  unloadRoute,
  createPinRoute('pin', 'Keeps an expert in its slot.'),
  createPinRoute('unpin', 'Lets an expert give way again.'),
  expertStatisticsRoute,
  statisticsRoute,
]
