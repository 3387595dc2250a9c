// Feedback for a response, and a user's data: show, export, forget.

import { type GivenOptions, integer, number, oneOf, string } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route } from '../../route.ts'
import type { ServedUserReport, UserService } from '../../user-service.ts'

export const feedbackFields = {
  id: string({ filled: true, about: 'The id of the response.' }),
  index: integer({ from: 0, to: 2047, about: 'Which of its choices. Default 0.' }),
  user: string({ filled: true, about: 'Needed for a response of an earlier run of the server.' }),
  feedback: oneOf(['up', 'down'], { about: 'A thumb.' }),
  quality: number({ from: 0, to: 1, about: 'How good the answer was.' }),
  latency_ratio: number({ from: 0, about: 'Time taken / time wanted.' }),
  correction: string({ filled: true, about: 'What the answer should have been.' }),
}

const signals = ['feedback', 'quality', 'correction'] as const

/** Applies feedback and returns its effect. Throws RequestError if fields contradict each other. */
export async function sendFeedback(
  service: Pick<UserService, 'feedback'>,
  body: GivenOptions<typeof feedbackFields>,
) {
  const { id, index, user, feedback, quality, latency_ratio: latencyRatio, correction } = body
  const given = signals.filter((name) => body[name] !== undefined)
  if (given.length === 0)
    throw new RequestError(`Give one of ${signals.join(', ')}.`, {
      param: 'feedback',
      code: 'missing_value',
    })
  if (correction !== undefined && given.length > 1)
    throw new RequestError(
      `correction gives the right answer and ${given[0]} rates the answer given. Send them separately.`,
      { param: 'correction', code: 'invalid_value' },
    )
  const outcome = await service.feedback({
    responseId: id!,
    index,
    user,
    feedback,
    quality,
    latencyRatio,
    correction,
  })
  const { expert, ...learned } = outcome
  const where = { object: 'feedback', id, index: index ?? 0, expert: expert ?? null }
  return Object.assign(where, learned)
}

const feedbackRoute = defineRoute({
  method: 'POST',
  path: '/v1/feedback',
  scope: 'feedback',
  tag: 'users',
  summary: 'Learns from what a response got: a thumb, a quality, or a correction.',
  body: { fields: feedbackFields, required: ['id'] },
  handle: async ({ service, body }) => Response.json(await sendFeedback(service, body)),
})

const listRoute = defineRoute({
  method: 'GET',
  path: '/v1/users',
  scope: 'admin',
  tag: 'users',
  summary: 'The users of whom something is kept.',
  async handle({ service }) {
    const data = (await service.listUsers()).map((id) => ({ id, object: 'user' }))
    return Response.json({ object: 'list', data })
  },
})

const showRoute = defineRoute({
  method: 'GET',
  path: '/v1/users/{user}',
  scope: 'admin',
  tag: 'users',
  summary:
    'The stored state of a user, by expert: statistics, warnings, versions of the slow tier.',
  async handle({ service, parameters }) {
    const { user } = readUser(parameters)
    const reports = await service.showUser(user)
    if (reports.length === 0) throw createAbsence(user)
    return Response.json({ object: 'user', id: user, experts: reports.map(toExpertBody) })
  },
})

const exportRoute = defineRoute({
  method: 'GET',
  path: '/v1/users/{user}/export',
  scope: 'admin',
  tag: 'users',
  summary: 'All stored data of a user, turns as text, as a file.',
  async handle({ service, parameters }) {
    const { user } = readUser(parameters)
    const reports = await service.showUser(user)
    if (reports.length === 0) throw createAbsence(user)
    const turns = (await service.listUserTurns(user)).map(({ expert, signal, ...turn }) => ({
      ...turn,
      expert: expert ?? null,
      signal: signal ?? null,
    }))
    return Response.json(
      { object: 'user.export', id: user, experts: reports.map(toExpertBody), turns },
      { headers: { 'content-disposition': 'attachment; filename="user.json"' } },
    )
  },
})

const forgetRoute = defineRoute({
  method: 'DELETE',
  path: '/v1/users/{user}',
  scope: 'admin',
  tag: 'users',
  summary: 'Forgets a user everywhere: tiers, store, cached prompts, responses, usage.',
  async handle({ service, parameters }) {
    const { user } = readUser(parameters)
    await service.forgetUser(user)
    return Response.json({ object: 'user', id: user, deleted: true })
  },
})

const forgetTurnRoute = defineRoute({
  method: 'POST',
  path: '/v1/users/{user}/forget',
  scope: 'admin',
  tag: 'users',
  summary: 'Takes back what was learned from one response, and from those that contain it.',
  body: {
    fields: {
      id: string({ filled: true, about: 'The id of the response.' }),
      index: integer({ from: 0, to: 2047, about: 'Which of its choices. Default 0.' }),
    },
    required: ['id'],
  },
  async handle({ service, parameters, body }) {
    const { user } = readUser(parameters)
    const { responseIds, turns, relearned } = await service.forgetTurn(user, body.id!, body.index)
    return Response.json({
      object: 'user.forgotten',
      id: user,
      responses: responseIds,
      turns,
      relearned,
    })
  },
})

const readUser = (parameters: Readonly<Record<string, string>>): { readonly user: string } => ({
  user: parameters['user'] ?? '',
})

const toExpertBody = ({ expert, key, isLoaded, ...report }: ServedUserReport) => ({
  expert: expert ?? null,
  key: key === '' ? null : key,
  loaded: isLoaded,
  ...report,
})

const createAbsence = (user: string): RequestError =>
  new RequestError(`Nothing is stored for user ${JSON.stringify(user.slice(0, 100))}.`, {
    status: 404,
    param: 'user',
    code: 'user_not_found',
  })

export const userRoutes: readonly Route[] = [
  feedbackRoute,
  listRoute,
  exportRoute,
  showRoute,
  forgetTurnRoute,
  forgetRoute,
]
