// React's side of the helper: one hook that gives what is shown and the calls that change it.

import { useEffect, useState, useSyncExternalStore } from 'react'
import type { GraftState, GraftStoreOptions } from '../helper/state.ts'
import { GraftStore } from '../helper/store.ts'

/**
 * A model in a worker of this page: `const [state, graft] = useGraft({ source })`. It opens when the
 * component appears and ends with it. Options are read once.
 */
export function useGraft(
  options: GraftStoreOptions,
): readonly [GraftState | undefined, GraftStore | undefined] {
  const [store, setStore] = useState<GraftStore>()
  useEffect(() => {
    // Here and not while rendering: servers that render pages have no workers.
    const made = new GraftStore(options)
    setStore(made)
    void made.open()
    return () => made.close()
  }, [])
  const state = useSyncExternalStore(
    (listener) => store?.subscribe(listener) ?? (() => undefined),
    () => store?.getState(),
    () => undefined,
  )
  return [state, store]
}
