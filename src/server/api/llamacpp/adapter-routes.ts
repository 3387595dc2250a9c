// llama.cpp's adapters: by number, with the scale that applies to requests without a model.

import { integer, number, string } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'
import { scalesField } from '../requests/sampling-fields.ts'
import type { ServedExpert } from '../../service.ts'

const toBody = ({ id, path, name, scale }: ServedExpert) => ({ id, path: path ?? name, scale })

export const listAdaptersRoute = defineRoute({
  method: 'GET',
  path: '/lora-adapters',
  scope: 'infer',
  tag: 'llama.cpp',
  summary: 'Lists adapters with their numbers and scales.',
  async handle({ service }) {
    return Response.json((await service.listExperts()).map(toBody))
  },
})

/** The body is a list, so it has no table of fields. */
export const setScalesRoute = defineRoute({
  method: 'POST',
  path: '/lora-adapters',
  scope: 'admin',
  tag: 'llama.cpp',
  summary: 'Sets the scales for requests that name no model; absent ones become 0.',
  listBody: scalesField,
  async handle({ service, body }) {
    await service.setScales(body as readonly { id: number; scale: number }[])
    return Response.json({ success: true })
  },
})

export const loadAdapterRoute = defineRoute({
  method: 'POST',
  path: '/lora-adapters/load',
  scope: 'admin',
  tag: 'llama.cpp',
  summary: 'Loads an adapter; the same file twice has two numbers.',
  body: {
    fields: {
      path: string({ filled: true, about: 'a folder or file in an allowed place' }),
      scale: number({ about: 'default 1' }),
    },
    required: ['path'],
  },
  async handle({ service, body }) {
    const { id, scale } = await service.loadExpert({ path: body.path!, scale: body.scale ?? 1 })
    return Response.json({ id, scale })
  },
})

export const unloadAdapterRoute = defineRoute({
  method: 'POST',
  path: '/lora-adapters/unload',
  scope: 'admin',
  tag: 'llama.cpp',
  summary: 'Unloads the adapter of a number.',
  body: { fields: { id: integer({ from: 0 }) }, required: ['id'] },
  async handle({ service, body }) {
    const experts = await service.listExperts()
    const found = experts.find(({ id }) => id === body.id)
    if (!found)
      throw new RequestError(`There is no adapter with the id ${body.id}.`, {
        status: 404,
        param: 'id',
        code: 'unknown_adapter',
      })
    await service.unloadExpert(found.name)
    return Response.json({ success: true })
  },
})
