// Combines several observers into one. An error in one of them reaches no request and no other
// observer.

import type { RequestObserver } from './account.ts'

/** `onFault` receives what an observer threw. */
export function combineObservers(
  observers: readonly RequestObserver[],
  onFault: (error: unknown) => void,
): Required<RequestObserver> {
  const tell =
    <Name extends keyof RequestObserver>(name: Name) =>
    (...given: Parameters<NonNullable<RequestObserver[Name]>>): void => {
      for (const observer of observers) {
        try {
          const method = observer[name] as ((...values: unknown[]) => void) | undefined
          method?.apply(observer, given)
        } catch (error) {
          onFault(error)
        }
      }
    }
  return {
    onQueue: tell('onQueue'),
    onTokens: tell('onTokens'),
    onAnswer: tell('onAnswer'),
    onEnd: tell('onEnd'),
  }
}
