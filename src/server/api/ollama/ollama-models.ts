// Ollama's lists of models: /api/tags, /api/ps, /api/show, /api/version. The base and each expert
// are listed as models.

import { flag, string } from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route } from '../../route.ts'
import type { ServedBase, ServedExpert, Service } from '../../service.ts'
import { describeError, readModel } from './ollama-fields.ts'

const toTime = (seconds: number): string => new Date(seconds * 1000).toISOString()

/** Fields that Graft does not know of a model are empty. */
const createDetails = (parent: string, kind: string) => ({
  parent_model: parent,
  format: '',
  family: kind,
  families: [kind],
  parameter_size: '',
  quantization_level: '',
})

const describeBase = ({ name, openedAt }: ServedBase) => ({
  name,
  model: name,
  modified_at: toTime(openedAt),
  size: 0,
  digest: '',
  details: createDetails('', 'base'),
})

const describeExpert = ({ name, loadedAt, key, kind }: ServedExpert, base: ServedBase) => ({
  name,
  model: name,
  modified_at: toTime(loadedAt),
  size: 0,
  digest: key,
  details: createDetails(base.name, kind),
})

async function listModels(service: Service) {
  const [base, experts] = await Promise.all([service.describe(), service.listExperts()])
  return { base, models: [describeBase(base), ...experts.map((one) => describeExpert(one, base))] }
}

const tagsRoute = defineRoute({
  method: 'GET',
  path: '/api/tags',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Lists the base and the experts in Ollama’s form.',
  describeError,
  async handle({ service }) {
    return Response.json({ models: (await listModels(service)).models })
  },
})

const psRoute = defineRoute({
  method: 'GET',
  path: '/api/ps',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Lists what is in memory in Ollama’s form: the base and the experts.',
  describeError,
  async handle({ service }) {
    const { base, models } = await listModels(service)
    return Response.json({
      models: models.map((model) => ({
        ...model,
        expires_at: '2318-04-25T00:00:00Z', // Ollama's value for a model that stays loaded
        size_vram: 0,
        context_length: base.contextTokens,
      })),
    })
  },
})

const showRoute = defineRoute({
  method: 'POST',
  path: '/api/show',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Describes the base or an expert in Ollama’s form.',
  body: {
    fields: {
      model: string({ about: 'the base or an expert' }),
      name: string({ about: 'the older name of model' }),
      verbose: flag({ about: 'accepted: there is no longer form' }),
    },
    required: [],
    refused: {
      system: { reason: 'nothing is changed here' },
      template: { reason: 'nothing is changed here' },
      options: { reason: 'nothing is changed here' },
    },
  },
  describeError,
  async handle({ service, body }) {
    const asked = readModel(body.model ?? body.name) ?? ''
    const { base, models } = await listModels(service)
    const found = models.find(({ name }) => name === asked || base.aliases.includes(asked))
    if (!found)
      throw createModelError(
        asked,
        models.map(({ name }) => name),
      )
    return Response.json({
      modelfile: '',
      parameters: '',
      template: base.chatTemplate,
      details: found.details,
      model_info: {
        'general.basename': base.name,
        'general.context_length': base.contextTokens,
        'tokenizer.ggml.vocabulary_size': base.vocabularySize,
      },
      capabilities: [
        'completion',
        'embedding',
        ...(base.chatTemplate.includes('tools') ? ['tools'] : []),
      ],
      modified_at: found.modified_at,
    })
  },
})

function createModelError(model: string, names: readonly string[]): RequestError {
  const meant = findNearestName(model, names)
  const hint = meant === undefined ? '' : ` Did you mean ${JSON.stringify(meant)}?`
  return new RequestError(`model ${JSON.stringify(model.slice(0, 200))} not found.${hint}`, {
    status: 404,
    param: 'model',
    code: 'model_not_found',
  })
}

const versionRoute = defineRoute({
  method: 'GET',
  path: '/api/version',
  scope: 'open',
  tag: 'Ollama',
  summary: 'The version of this program.',
  describeError,
  handle: async ({ version }) => Response.json({ version }),
})

export const ollamaModelRoutes: readonly Route[] = [tagsRoute, psRoute, showRoute, versionRoute]
