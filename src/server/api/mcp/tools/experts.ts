// experts: lists the experts in memory and those that the registry can load.

import { integer, listOf, string } from '../../../../base/schema.ts'
import type { ServedExpert } from '../../../service.ts'
import { toRegisteredBody } from '../../experts/registry-route.ts'
import { defineTool } from '../mcp-tool.ts'

const toExpertBody = (expert: ServedExpert) => ({
  name: expert.name,
  kind: expert.kind,
  version: expert.version,
  key: expert.key,
  system: expert.system ?? null,
  answers: expert.answers,
})

export const expertsTool = defineTool({
  name: 'experts',
  title: 'List experts',
  about:
    'Lists the base, the experts in memory and those of the registry, each of which may be named as "model". With a question in "meaning" those whose descriptions are closest to it come first.',
  scope: 'infer',
  fields: {
    text: string({ filled: true, about: 'words that must be found in a registered expert' }),
    meaning: string({ filled: true, about: 'a question; the closest experts come first' }),
    tags: listOf(string({ filled: true }), { about: 'tags that registered experts must have' }),
    domain: string({ filled: true, about: 'a domain that registered experts must have' }),
    reference: string({ filled: true, about: 'one expert, such as coder@^1.2' }),
    limit: integer({ from: 1, to: 1000, about: 'registered experts at most' }),
  },
  required: [],
  isReadOnly: true,
  answer: {
    type: 'object',
    properties: {
      base: { type: 'object' },
      experts: { type: 'array', items: { type: 'object' } },
      registered: { type: 'array', items: { type: 'object' } },
    },
    required: ['base', 'experts', 'registered'],
  },
  async run({ given, caller: { service } }) {
    const [base, loaded, found] = await Promise.all([
      service.describe(),
      service.listExperts(),
      service.findRegistered(given),
    ])
    const experts = loaded.map(toExpertBody)
    const registered = found.map(toRegisteredBody)
    const { name, aliases, contextTokens, router } = base
    const lines = [
      `${name}: the base, ${contextTokens} tokens of context`,
      ...(router === undefined ? [] : [`auto: the router (${router}) chooses who answers`]),
      ...experts.map((one) => `${one.name}: in memory, ${one.kind}`),
      ...registered.map(
        (one) =>
          `${one.id}@${one.version}: registered${one.description === null ? '' : `, ${one.description}`}`,
      ),
    ]
    return {
      text: lines.join('\n'),
      value: {
        base: { name, aliases, context_tokens: contextTokens, router: router ?? null },
        experts,
        registered,
      },
    }
  },
})
