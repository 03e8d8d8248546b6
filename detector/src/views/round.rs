//! One round of analysis over views: which series they change, and how.

use std::collections::{BTreeMap, BTreeSet};

use crate::Assessment;
use crate::context::Weighed;
use crate::method::{Look, Method, Workspace};
use crate::series::Series;
use crate::table::{SeriesTable, Slot};

use super::clients::{self, Clients, MOST_CLIENTS, WEAK_P, Weight};
use super::{Found, MOST_LISTED};

/// What a round works with.
pub(crate) struct Round<'a> {
    pub(crate) table: &'a SeriesTable,
    pub(crate) method: &'a Method,
    pub(crate) look: Look<'a>,
    pub(crate) workspace: &'a mut Workspace,
}

/// What a round tells of one series.
pub(crate) struct Told {
    pub(crate) slot: Slot,
    pub(crate) assessment: Assessment,
    /// By itself.
    pub(crate) weight: Weight,
    /// Whether a view explains it.
    pub(crate) in_view: bool,
}

impl Round<'_> {
    /// A series by itself, with the other clients of its server; `None` when it has no connection start and no
    /// activity.
    pub(crate) fn alone(&mut self, slot: Slot) -> Option<Assessment> {
        let series = self.table.get(slot)?;
        let mut assessment = self.method.assess(series, &self.look, self.workspace)?;
        if assessment.evidence.is_some_and(|it| it.p_value <= WEAK_P) {
            let clients = self.clients(slot, series, &assessment);
            if clients.total > 0 {
                self.method
                    .add_clients(&mut assessment, clients, &self.look);
            }
        }
        Some(assessment)
    }

    /// A series as part of the view that explains it best.
    pub(crate) fn in_its_view(&mut self, slot: Slot) -> Option<Assessment> {
        let found = self.views(self.table.source_of(slot)?);
        self.in_one_of(slot, &found)
    }

    /// A series as part of the one of these views that it is a member of, if any.
    fn in_one_of(&mut self, slot: Slot, found: &[Found]) -> Option<Assessment> {
        let mut assessment = self.alone(slot)?;
        let is_here = |it: &&Found| it.members.iter().any(|(member, _)| *member == slot);
        if let Some(found) = found.iter().find(is_here) {
            self.method.put_in_view(&mut assessment, found, &self.look);
        }
        Some(assessment)
    }

    /// Every series of a source.
    pub(crate) fn of_source(&mut self, head: Slot) -> Vec<Assessment> {
        let found = self.views(head);
        let slots: Vec<Slot> = self.slots(head, usize::MAX);
        slots
            .into_iter()
            .filter_map(|slot| self.in_one_of(slot, &found))
            .collect()
    }

    /// The series of `changed` as parts of their views, and those that these views change beside them: other
    /// members, and members of views that are no more.
    pub(crate) fn of_changed(&mut self, changed: &[Slot]) -> Vec<Told> {
        let sources: BTreeSet<Slot> = changed
            .iter()
            .filter_map(|slot| self.table.source_of(*slot))
            .collect();
        let mut place: BTreeMap<Slot, Found> = BTreeMap::new();
        let is_changed: BTreeSet<Slot> = changed.iter().copied().collect();
        let mut more: BTreeSet<Slot> = BTreeSet::new();
        for head in sources {
            let slots = self.slots(head, MOST_LISTED);
            for found in self.views(head) {
                let members: Vec<Slot> = found.members.iter().map(|(slot, _)| *slot).collect();
                let news = |slot: &Slot| is_changed.contains(slot) || !self.table.is_in_view(*slot);
                if members.iter().any(news) {
                    more.extend(members.iter().copied());
                }
                place.extend(members.into_iter().map(|slot| (slot, found.clone())));
            }
            let left = |slot: &&Slot| self.table.is_in_view(**slot) && !place.contains_key(*slot);
            more.extend(slots.iter().filter(left));
        }
        let others = more.into_iter().filter(|slot| !is_changed.contains(slot));
        let slots: Vec<Slot> = changed.iter().copied().chain(others).collect();
        slots
            .into_iter()
            .filter_map(|slot| {
                let mut assessment = self.alone(slot)?;
                let weight = Weight::of(assessment.evidence.as_ref());
                let found = place.get(&slot);
                if let Some(found) = found {
                    self.method.put_in_view(&mut assessment, found, &self.look);
                }
                Some(Told {
                    slot,
                    assessment,
                    weight,
                    in_view: found.is_some(),
                })
            })
            .collect()
    }

    fn slots(&self, head: Slot, most: usize) -> Vec<Slot> {
        let listed = self.table.of_source(head, most);
        listed.into_iter().map(|(slot, _)| slot).collect()
    }

    fn views(&mut self, head: Slot) -> Vec<Found> {
        let series = self.table.of_source(head, MOST_LISTED);
        if series.len() < 2 {
            return Vec::new();
        }
        let mut found = self.method.views(&series, &self.look, self.workspace);
        for view in &mut found {
            view.context = self.context_of(view);
        }
        found
    }

    /// What context says of a view: that of its anchor. It is benign when every member is.
    fn context_of(&self, view: &Found) -> Weighed {
        let (context, evidence, now) = (self.look.context, Some(&view.evidence), self.look.now);
        let mut weighed = view.members.iter().filter_map(|(slot, _)| {
            let series = self.table.get(*slot)?;
            Some(context.weigh(series, evidence, now))
        });
        let Some(mut anchor) = weighed.next() else {
            return Weighed::default();
        };
        if anchor.benign.is_some() && !weighed.all(|it| it.benign.is_some()) {
            anchor.unmark();
        }
        anchor
    }

    fn clients(&mut self, slot: Slot, series: &Series, found: &Assessment) -> Clients {
        let Some(evidence) = &found.evidence else {
            return Clients::default();
        };
        let all = self.table.of_server(slot, MOST_CLIENTS);
        if all.len() < 2 {
            return Clients::default();
        }
        clients::of(series, evidence, &all, |other| match other.weight {
            Some(weight) => weight,
            None => Weight::of(
                self.method
                    .weigh(other, &self.look, self.workspace)
                    .as_ref(),
            ),
        })
    }
}
