// The user calls of a server that does not learn.

import { RequestError } from '../request-error.ts'
import type { UserService } from '../user-service.ts'

async function refuse(): Promise<never> {
  throw new RequestError('This server does not learn. Start it with --learn.', {
    status: 400,
    type: 'not_supported_error',
    code: 'learning_off',
  })
}

export const noLearning: UserService = {
  feedback: refuse,
  listUsers: refuse,
  showUser: refuse,
  listUserTurns: refuse,
  forgetUser: refuse,
  forgetTurn: refuse,
}
