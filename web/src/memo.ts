import { Component, type ComponentType, h } from "preact";

// A component that is drawn again only when `same` says no; spares long answers their parsing.
export function memo<P extends object>(Inner: ComponentType<P>, same: (a: P, b: P) => boolean) {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P) {
      return !same(this.props as P, next);
    }
    override render() {
      return h(Inner as ComponentType<object>, this.props);
    }
  };
}
