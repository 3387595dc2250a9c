// A user who is forgotten is forgotten in the usage too.

import type { RequestError } from '../request-error.ts'
import type { Service } from '../service.ts'
import type { UsageLedger } from '../usage/usage-ledger.ts'
import type { UsageStore } from '../usage/usage-row.ts'
import { replaceMethods } from './replace-methods.ts'

/** The service whose `forgetUser` also removes a user's rows, learning or not. */
export const forgetUsage = (service: Service, ledger: UsageLedger, usage: UsageStore): Service =>
  replaceMethods(service, {
    async forgetUser(user) {
      await ledger.flush() // rows that are not written yet
      await usage.forgetUser(user)
      try {
        await service.forgetUser(user)
      } catch (error) {
        if (!isLearningOff(error)) throw error
      }
    },
  })

const isLearningOff = (error: unknown): boolean =>
  error instanceof Error && (error as Partial<RequestError>).code === 'learning_off'
