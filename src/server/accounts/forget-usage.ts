// Removes a user's name from the usage when the user is forgotten.

import type { RequestError } from '../request-error.ts'
import type { Service } from '../service.ts'
import type { UsageLedger } from '../usage/usage-ledger.ts'
import type { UsageStore } from '../usage/usage-row.ts'
import { replaceMethods } from './replace-methods.ts'

/**
 * A service whose `forgetUser` also removes the user's rows of usage, whether the server learns or
 * not.
 */
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
